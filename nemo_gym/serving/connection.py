"""One HTTP/1.1 connection of a client: writes a request, and gives the answer as it arrives."""

from __future__ import annotations

import asyncio
import select
import socket
from collections import deque
from typing import cast

import httptools

from nemo_gym.errors import AnswerTooLarge, ConnectionLost, RequestError

_PAUSE_BYTES = 1 << 20
"""A stream that nobody reads is not received further than this."""
_MAX_HEADER_BYTES = 1 << 20


class Connection(asyncio.Protocol):
    """Carries one exchange at a time. Made by an event loop, as its protocol."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        """When the last exchange ended, on the event loop's clock."""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._closed = False

    async def answer_to(self, request: bytes, url: str, max_bytes: int) -> Exchange:
        """Send a request and wait for the end of its answer. When cancelled, the connection is closed.

        Raises `ConnectionLost` where the answer does not come whole, `AnswerTooLarge` where its body has more than
        `max_bytes`.
        """
        exchange = self.begin(request, url, streamed=False)
        exchange.max_bytes = max_bytes
        try:
            await exchange.finished
        except BaseException:
            self.abort()
            raise
        return exchange

    def begin(self, request: bytes, url: str, *, streamed: bool) -> Exchange:
        """Send a request; the answer arrives in what is returned."""
        assert self._transport is not None and self._exchange is None
        exchange = self._exchange = Exchange(self._loop, url, self._transport if streamed else None)
        self._transport.write(request)
        return exchange

    def end(self) -> bool:
        """After an answer was received whole: whether the connection can carry another exchange."""
        exchange, self._exchange = self._exchange, None
        if self._closed or exchange is None or not exchange.reusable:
            self.abort()
            return False
        self.idle_since = self._loop.time()
        return True

    def is_alive(self) -> bool:
        """Whether the other side has not closed it meanwhile, as far as this side's kernel knows."""
        if self._closed or self._transport is None:
            return False
        sock = cast("socket.socket | None", self._transport.get_extra_info("socket"))
        if sock is None:
            return True
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        # Nothing is expected between exchanges: what waits there is its end, or data that nobody asked for.
        return not poll.poll(0)

    def abort(self) -> None:
        """Close it at once, whatever is under way."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:
            self.abort()
            return
        self._exchange.feed(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._closed = True
        if self._exchange is not None:
            self._exchange.end_of_connection(error)


class Exchange:
    """The answer to one request: status and headers, then the body; `finished` is done when all of it is here."""

    def __init__(self, loop: asyncio.AbstractEventLoop, url: str, paused: asyncio.Transport | None) -> None:
        """`paused`: the transport that waits while a streamed body is not read; None: the body is kept whole."""
        self.finished: asyncio.Future[None] = loop.create_future()
        self.begun: asyncio.Future[None] = loop.create_future()
        """Done with the headers."""
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        """Names in lower case."""
        self.reusable = False
        self.chunks: deque[bytes] = deque()
        self.max_bytes: int | None = None
        """Of the body; None: any number, as in a stream."""
        self._url, self._paused = url, paused
        self._parser = httptools.HttpResponseParser(self)
        self._size, self._more = 0, asyncio.Event()
        self._header_bytes = 0
        self._ends_with_connection = False

    def feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._lose(f"the answer is no HTTP: {error}")
        if not self.begun.done():
            self._header_bytes += len(data)
            if self._header_bytes > _MAX_HEADER_BYTES:
                self._refuse(f"the headers of the answer have more than {_MAX_HEADER_BYTES} bytes")

    def end_of_connection(self, error: Exception | None) -> None:
        if self.finished.done():
            return
        if self._ends_with_connection and self.begun.done() and error is None:
            self._finish(reusable=False)
        else:
            self._lose(str(error) if error else "closed before the answer was complete")

    async def next_chunk(self) -> bytes | None:
        """The next piece of a streamed body; None at its end. Raises `ConnectionLost` where it breaks off."""
        while not self.chunks:
            if self.finished.done():
                self.finished.result()
                return None
            self._more.clear()
            await self._more.wait()
        chunk = self.chunks.popleft()
        self._size -= len(chunk)
        if self._paused is not None and self._size <= _PAUSE_BYTES and not self.finished.done():
            self._paused.resume_reading()
        return chunk

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200:  # an interim answer: the real one follows
            self.headers.clear()
            return
        framed = any(name in ("content-length", "transfer-encoding") for name, _ in self.headers)
        self._ends_with_connection = not framed and self.status not in (204, 304)
        if not self.begun.done():
            self.begun.set_result(None)

    def on_body(self, data: bytes) -> None:
        self.chunks.append(data)
        self._size += len(data)
        if self._paused is not None:
            self._more.set()
            if self._size > _PAUSE_BYTES:
                self._paused.pause_reading()
        elif self.max_bytes is not None and self._size > self.max_bytes:
            self.chunks.clear()
            self._refuse(f"the answer has more than {self.max_bytes} bytes, which is the limit")

    def on_message_complete(self) -> None:
        if self.status >= 200:
            self._finish(reusable=self._parser.should_keep_alive())

    def _finish(self, *, reusable: bool) -> None:
        self.reusable = reusable
        if not self.finished.done():
            self.finished.set_result(None)
        self._more.set()

    def _lose(self, why: str) -> None:
        self._fail(ConnectionLost(f"the connection broke: {why}", url=self._url, delivered=True))

    def _refuse(self, why: str) -> None:
        self._fail(AnswerTooLarge(why, url=self._url, delivered=True, status=self.status or None))

    def _fail(self, error: RequestError) -> None:
        for waiting in (self.begun, self.finished):
            if not waiting.done():
                waiting.set_exception(error)
                waiting.exception()  # seen: which of the two is waited for depends on how far it came
        self._more.set()
