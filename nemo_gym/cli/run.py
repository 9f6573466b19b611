"""`ng_run`: start and supervise every server of a configuration until told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
from pathlib import Path
from typing import NoReturn

import uvloop
from pydantic import Field

from nemo_gym.cli.command import EXIT_INTERRUPTED, command
from nemo_gym.cli.server_table import KINDS, name_of, server_table
from nemo_gym.config.instance import GymConfig
from nemo_gym.config.options import help_text, parse_options, wants_help
from nemo_gym.launch.console import Console
from nemo_gym.launch.gym import Gym, running_gym
from nemo_gym.launch.options import LaunchOptions
from nemo_gym.training.recipe_config import load_with_recipe

COMMAND = "ng_run"
SUMMARY = "start every server of a configuration, supervise them, and stop them all at Ctrl-C"
EXAMPLE = (
    'ng_run "+config_paths=[resources_servers/calendar/configs/calendar.yaml,'
    'responses_api_models/scripted_model/configs/scripted_model.yaml]"'
)
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class RunOptions(LaunchOptions):
    config_paths: list[str] = Field(default_factory=list)
    """The config files, in rising precedence. Any other `+key=value` changes the configuration."""
    recipe: Path | None = None
    """A training recipe: the environment it names, and its limits."""


def main() -> NoReturn:
    command(run)


def run(argv: list[str]) -> int:
    """Run until stopped. Raises `ConfigError` with every mistake, or `LaunchError` naming the server that died."""
    if wants_help(argv):
        print(help_text(RunOptions, COMMAND, SUMMARY, EXAMPLE), end="")
        return 0
    started_at = time.monotonic()
    typed = parse_options(argv, RunOptions, command=COMMAND, with_config=True)
    names = {*LaunchOptions.model_fields, "recipe"}
    config = load_with_recipe(typed.recipe, argv, cwd=Path.cwd(), options=names)
    options = LaunchOptions.of({**config.values, **typed.model_dump(exclude_unset=True)})
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    with Console() as console:
        loop_factory = uvloop.new_event_loop if options.in_process else None
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(_run(config, options, console, started_at))


async def _run(config: GymConfig, options: LaunchOptions, console: Console, started_at: float) -> int:
    gym = running_gym(config, options=options, observer=console)
    stopping = _Stopping(gym, console)
    try:
        async with gym:
            if gym.options.in_process:
                gc.collect()
                gc.freeze()  # as in a server's own process
            console.notice(_table(gym))
            seconds = time.monotonic() - started_at
            if not options.open_endpoints:
                console.notice("Requests of your own need the run's token: curl -H @.nemo_gym/latest/authorization …")
            console.notice(f"All {len(gym.statuses())} servers are ready after {seconds:.1f} s. Ctrl-C stops them.")
            await gym.wait()
    except asyncio.CancelledError:
        if not stopping.requested:
            raise
    console.notice("All servers have ended.")
    return EXIT_INTERRUPTED if stopping.forced else 0


class _Stopping:
    """The first Ctrl-C, SIGTERM or hangup stops gracefully, the second at once."""

    def __init__(self, gym: Gym, console: Console) -> None:
        self.requested = self.forced = False
        self._gym, self._console = gym, console
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        for number in _STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if not self.requested:
            self.requested = True
            self._console.notice("Stopping; once more stops at once.")
            self._task.cancel()
        else:
            self.forced = True
            self._gym.kill()


def _table(gym: Gym) -> str:
    rows = [
        (name_of(each), KINDS[each.server_type], each.implementation, each.url, str(each.pid))
        for each in gym.statuses()
    ]
    rows.append(("head server", "head", "", gym.head_url, str(os.getpid())))
    return server_table(("server", "kind", "implementation", "URL", "pid"), rows, optional=("pid",))
