"""Notices that a server's event loop stands still, says where it stands, and ends the process: it is started anew."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
import traceback

log = logging.getLogger(__name__)

MOST_PAUSE_S = 5.0
_SHOWN_FRAMES = 2


def watch_event_loop(limit_s: float) -> None:
    """Watch the running event loop from now on; it must be the main thing that this process does.

    Code that never gives the loop back, such as an endless `verify()`, would otherwise leave a server that lives and
    answers nobody. Where it even holds the interpreter, as an endless regular expression does, it takes twice as long.
    """
    watchdog = _Watchdog(asyncio.get_running_loop(), limit_s)
    threading.Thread(target=watchdog.watch, name="watchdog", daemon=True).start()
    watchdog.beat()


class _Watchdog:
    def __init__(self, loop: asyncio.AbstractEventLoop, limit_s: float) -> None:
        self._loop, self._limit_s = loop, limit_s
        self._pause_s = min(MOST_PAUSE_S, limit_s / 4)
        self._beats = 0
        self._watched = threading.get_ident()

    def beat(self) -> None:
        """In the event loop: it goes on."""
        self._beats += 1
        faulthandler.dump_traceback_later(2 * self._limit_s, exit=True)
        self._loop.call_later(self._pause_s, self.beat)

    def watch(self) -> None:
        """In a thread of its own, which counts its own pauses: a process that was stopped and goes on is not stuck."""
        seen, silent_s = 0, 0.0
        while silent_s < self._limit_s:
            time.sleep(self._pause_s)
            silent_s = silent_s + self._pause_s if self._beats == seen else 0.0
            seen = self._beats
        stack = traceback.extract_stack(sys._current_frames()[self._watched])
        where = "".join(traceback.format_list(stack[-_SHOWN_FRAMES:]))
        log.critical(
            "the event loop stood still for %g s (`stall_limit_s`) and answered nobody, so this process ends; "
            "slow code belongs into `await self.run_cpu(…)`. It stood here:\n%s",
            self._limit_s,
            where.rstrip(),
        )
        os._exit(1)
