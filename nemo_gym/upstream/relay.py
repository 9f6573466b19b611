"""Relay: a streamed answer, read in a task of its own and handed on to whoever sends it to the client.

A web framework sends the body of an answer in another task than the one that ran the handler, but deadlines belong to
the task that set them; so the task that opens the upstream's stream reads it too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from nemo_gym.serving.http_response import ByteStream
from nemo_gym.serving.sse import MEDIA_TYPE

_PIECES_AHEAD = 64
"""So many pieces are read before the client has taken them; then the upstream has to wait."""


@dataclass(frozen=True)
class _Head:
    status: int
    headers: Mapping[str, str]


class Relay:
    """An answer that arrives piece by piece. Iterate once, after `open`; `close` it in any case."""

    def __init__(self, opening: AbstractAsyncContextManager[ByteStream]) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self._pieces: asyncio.Queue[_Head | bytes | Exception | None] = asyncio.Queue(_PIECES_AHEAD)
        self._reader = asyncio.create_task(self._read(opening))

    async def open(self) -> None:
        """Wait for status and headers. Raises a `RequestError` where nobody answers."""
        try:
            first = await self._pieces.get()
        except asyncio.CancelledError:
            await self.close()
            raise
        if isinstance(first, Exception):
            raise first
        assert isinstance(first, _Head)
        self.status, self.headers = first.status, first.headers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises a `RequestError` where the answer breaks off."""
        while (piece := await self._pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            assert isinstance(piece, bytes)
            yield piece

    async def close(self) -> None:
        """End the request, if it still runs."""
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader

    async def _read(self, opening: AbstractAsyncContextManager[ByteStream]) -> None:
        try:
            async with opening as answer:
                await self._pieces.put(_Head(answer.status, answer.headers))
                async for piece in answer:
                    await self._pieces.put(piece)
        except Exception as error:  # noqa: BLE001 - raised where the answer is read
            await self._pieces.put(error)
        else:
            await self._pieces.put(None)


class RelayedAnswer(StreamingResponse):
    """What a client gets of a relay: `content`, made from it. The relay is closed however this ends."""

    def __init__(self, relay: Relay, content: AsyncIterator[bytes]) -> None:
        super().__init__(content, media_type=relay.headers.get("content-type", MEDIA_TYPE))
        self._relay = relay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._relay.close()
