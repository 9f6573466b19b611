"""Relay: a stream read in one task and handed on in another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from nemo_gym.errors import ConnectionLost, DeadlineExceeded
from nemo_gym.serving.http_response import ByteStream
from nemo_gym.upstream.relay import Relay


class Pieces:
    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self.status, self._pieces = 200, pieces
        self.headers: Mapping[str, str] = {"content-type": "text/event-stream"}

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces


@asynccontextmanager
async def stream_of(
    pieces: AsyncIterator[bytes], closed: asyncio.Event, timeout_s: float = 60
) -> AsyncIterator[ByteStream]:
    try:
        async with asyncio.timeout(timeout_s):
            yield Pieces(pieces)
    except TimeoutError as error:
        raise DeadlineExceeded("no complete answer", url="http://x", delivered=True) from error
    finally:
        closed.set()


async def two_pieces() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"more"
        await asyncio.sleep(0)


async def silent() -> AsyncIterator[bytes]:
    yield b"one"
    await asyncio.Event().wait()


async def broken() -> AsyncIterator[bytes]:
    yield b"one"
    raise ConnectionLost("gone", url="http://x", delivered=True)


async def test_pieces_are_read_in_another_task_than_the_one_that_opened() -> None:
    relay = Relay(stream_of(two_pieces(), asyncio.Event()))
    await relay.open()
    assert (relay.status, relay.headers["content-type"]) == (200, "text/event-stream")

    async def read() -> list[bytes]:
        return [piece async for piece in relay]

    assert await asyncio.create_task(read()) == [b"one", b"two"]


async def test_a_stream_that_breaks_off_raises_where_it_is_read() -> None:
    relay = Relay(stream_of(broken(), asyncio.Event()))
    await relay.open()
    with pytest.raises(ConnectionLost):
        async for _ in relay:
            pass


async def test_the_deadline_ends_a_silent_stream_in_whatever_task_it_is_read() -> None:
    closed = asyncio.Event()
    relay = Relay(stream_of(silent(), closed, timeout_s=0.05))
    await relay.open()
    with pytest.raises(DeadlineExceeded):
        async for _ in relay:
            pass
    assert closed.is_set()


async def test_closing_ends_the_request_also_when_nobody_reads_it() -> None:
    closed = asyncio.Event()
    relay = Relay(stream_of(endless(), closed))
    await relay.open()
    await relay.close()
    assert closed.is_set()


async def test_giving_up_before_the_head_came_ends_the_request() -> None:
    closed = asyncio.Event()

    @asynccontextmanager
    async def never_opens() -> AsyncIterator[ByteStream]:
        try:
            await asyncio.Event().wait()
            yield Pieces(two_pieces())
        finally:
            closed.set()

    opening = asyncio.create_task(Relay(never_opens()).open())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert closed.is_set()
