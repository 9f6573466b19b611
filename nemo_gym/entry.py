"""Where every command begins: Ctrl-C ends it quietly from its first moment to its last, while it imports included."""

from __future__ import annotations

import os
import signal
from functools import partial
from importlib import import_module

EXIT_INTERRUPTED = 130


def start(module: str) -> None:
    """Import `nemo_gym.cli.<module>` and run its `main()`, which ends the process with the command's exit code.

    While nothing has begun, and again when everything has ended, Ctrl-C has nothing to undo and ends the process at
    once. In between it is the command's business.
    """
    # Where Ctrl-C is ignored (a background job of a shell script), it stays ignored.
    heeds_interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeds_interrupts:
        signal.signal(signal.SIGINT, _end_at_once)
    command = import_module(f"nemo_gym.cli.{module}")
    try:
        if heeds_interrupts:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        command.main()
    except KeyboardInterrupt:  # before the command had taken over
        _end_at_once()
    finally:
        if heeds_interrupts:
            signal.signal(signal.SIGINT, _end_at_once)


def _end_at_once(*_: object) -> None:
    os._exit(EXIT_INTERRUPTED)


ng = gym = partial(start, "ng")
ng_run = partial(start, "run")
ng_collect_rollouts = partial(start, "collect_rollouts")
ng_status = partial(start, "status")
ng_dump_config = partial(start, "dump_config")
ng_prepare_data = partial(start, "prepare_data")
ng_reward_profile = partial(start, "reward_profile")
ng_reverify = partial(start, "reverify")
ng_init_resources_server = partial(start, "init_resources_server")
ng_test = partial(start, "test")
ng_train_demo = partial(start, "train_demo")
ng_version = partial(start, "version")
ng_help = partial(start, "help")
