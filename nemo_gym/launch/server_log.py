"""A server's log: every byte it writes goes to its file, its lines to whoever watches, the last ones are remembered."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger(__name__)

REMEMBERED_LINES = 7
SHOWN_LINE_BYTES = 16_384
"""A longer line is shown in pieces of this size; the file holds it whole."""
_TAIL_LINE_CHARS = 300


class ServerLog:
    """Takes output in chunks as they come. Bytes that are no UTF-8 are kept in the file and replaced where shown."""

    def __init__(self, path: Path, on_line: Callable[[str], None]) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._on_line = on_line
        self._rest = b""
        self._tail: deque[str] = deque(maxlen=REMEMBERED_LINES)

    def write(self, data: bytes) -> None:
        """Take a chunk."""
        self._save(data)
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._show(line)
        while len(rest) > SHOWN_LINE_BYTES:
            self._show(rest[:SHOWN_LINE_BYTES])
            rest = rest[SHOWN_LINE_BYTES:]
        self._rest = rest

    def keep(self, text: str) -> None:
        """Write to the file alone what users are told in fewer words."""
        self._save(text.encode())

    def end_of_process(self) -> list[str]:
        """The process that wrote is gone: its last lines. The next one starts on a new line and with no last lines."""
        if self._rest:
            self._show(self._rest)
            self._save(b"\n")
            self._rest = b""
        tail = list(self._tail)
        self._tail.clear()
        return tail

    def close(self) -> None:
        """Nothing more will be written."""
        self._file.close()

    def _save(self, data: bytes) -> None:
        if self._file.closed:
            return
        try:
            self._file.write(data)
        except OSError as error:  # a full disk must not stop the server
            self._file.close()
            logger.warning("%s: no longer written: %s", self.path, error.strerror or error)

    def _show(self, line: bytes) -> None:
        text = line.decode("utf-8", errors="replace").rstrip("\r")
        if text.strip():
            self._tail.append(text if len(text) <= _TAIL_LINE_CHARS else text[: _TAIL_LINE_CHARS - 1] + "…")
        self._on_line(text)
