"""The console of a run: prefixed, coloured log lines and notices. A thread writes: a slow terminal stops nobody."""

from __future__ import annotations

import itertools
import os
import queue
import threading

COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
"""ANSI codes, given to servers in the order in which they first speak."""
NOTICE_COLOUR = 1
WAITING_LINES = 10_000
"""More than so many lines not yet written are left out; the log files have them all."""


class Console:
    """Writes to the file descriptor `out`; in colours only where that is a terminal. Use it as a context.

    The descriptor rather than `sys.stdout`, whose lock and buffer would keep the process from ending while a terminal
    takes nothing.
    """

    def __init__(self, out: int = 1) -> None:
        self._out = out
        self._coloured = os.isatty(out)
        self._colours: dict[str, int] = {}
        self._next_colour = itertools.cycle(COLOURS)
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._left_out = 0
        self._writer = threading.Thread(target=self._write, name="console", daemon=True)

    def __enter__(self) -> Console:
        self._writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        self._writer.join(timeout=1.0)  # a terminal that takes nothing must not keep us

    def line(self, server: str, text: str) -> None:
        """A server wrote a line."""
        if self._queue.qsize() > WAITING_LINES:
            self._left_out += 1
            return
        if self._left_out:
            self._queue.put(f"({self._left_out} log lines are not shown here; the log files have them)")
            self._left_out = 0
        self._queue.put(f"{self._paint(f'[{server}]', self._colour_of(server))} {text}")

    def notice(self, text: str) -> None:
        """Something users should know."""
        self._queue.put(self._paint(text, NOTICE_COLOUR))

    def _colour_of(self, server: str) -> int:
        if server not in self._colours:
            self._colours[server] = next(self._next_colour)
        return self._colours[server]

    def _paint(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text

    def _write(self) -> None:
        while (text := self._queue.get()) is not None:
            lines = [text]
            while not self._queue.empty() and len(lines) < 1000:
                more = self._queue.get()
                if more is None:
                    self._queue.put(None)
                    break
                lines.append(more)
            try:
                self._write_all("\n".join([*lines, ""]).encode())
            except OSError:  # the reader is gone; servers and log files go on
                return

    def _write_all(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._out, data) :]
