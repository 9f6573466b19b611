"""Output of a process, cut: read to its end, of which the first and the last part are kept."""

from __future__ import annotations

import asyncio

CHUNK = 65_536


class CutOutput:
    """Keeps the first and the last `limit / 2` bytes of what it is fed."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self._total = 0

    def feed(self, data: bytes) -> None:
        self._total += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._half + CHUNK:
            del self._tail[: -self._half]

    @property
    def dropped(self) -> int:
        """Bytes left out between the two parts."""
        return self._total - len(self._head) - min(len(self._tail), self._half)

    def value(self) -> bytes:
        """Both parts, with a line between them that says how much is left out."""
        tail = bytes(self._tail[-self._half :])
        if not self.dropped:
            return bytes(self._head) + tail
        return bytes(self._head) + f"\n[... {self.dropped} bytes left out ...]\n".encode() + tail


async def drain(stream: asyncio.StreamReader | None, output: CutOutput) -> None:
    """Read to the end, however much it is."""
    while stream is not None and (data := await stream.read(CHUNK)):
        output.feed(data)
