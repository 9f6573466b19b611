"""Ctrl-C during a collection: first gently, then at once, then without waiting for anything."""

from __future__ import annotations

import asyncio
import signal
import sys

from nemo_gym.rollouts.running import Stop

GRACE_S = 5.0
"""How long rollouts that still run may finish after the first Ctrl-C."""


def stop_on_signals(stop: Stop, command: str) -> None:
    """The first signal lets running rollouts finish for a while, the second cancels them, the third this task."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    signals = 0

    def on_signal() -> None:
        nonlocal signals
        signals += 1
        if signals == 1:
            tell(command, f"stopping: running rollouts have {GRACE_S:g} s to finish; again to cancel them now")
            stop.ask(GRACE_S)
        elif signals == 2:
            stop.ask(0.0)
        else:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)


def tell(command: str, text: str) -> None:
    """One line on stderr, from that command."""
    print(f"{command}: {text}", file=sys.stderr, flush=True)
