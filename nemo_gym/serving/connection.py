"""One HTTP/1.1 connection of a client: writes a request, and gives the answer as it arrives."""

from __future__ import annotations

import asyncio
import select
import socket
import sys
from collections import deque
from typing import cast

import httptools

from nemo_gym.errors import AnswerTooLarge, ConnectionLost, DeadlineExceeded, RequestError

_PAUSE_BYTES = 1 << 20
"""A stream that nobody reads is not received further than this."""
_MAX_HEADER_BYTES = 1 << 20
GONE_AFTER_S = 60
"""A peer that vanished without a word, or all of whose packets are dropped, is noticed within so many seconds."""


class Connection(asyncio.Protocol):
    """Carries one exchange at a time. Made by an event loop, as its protocol."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        """When the last exchange ended, on the event loop's clock."""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._closed = False

    async def answer_to(self, request: bytes, url: str, max_bytes: int, timeout_s: float) -> Exchange:
        """Send a request and wait for the end of its answer. When cancelled, the connection is closed.

        Raises `DeadlineExceeded` after `timeout_s`, `ConnectionLost` where the answer does not come whole, and
        `AnswerTooLarge` where its body has more than `max_bytes`.
        """
        exchange = Exchange(self._loop, url, max_bytes)
        self._begin(request, exchange)
        # A timer of the loop costs a third of `asyncio.timeout`.
        deadline = self._loop.call_later(timeout_s, exchange.expire, timeout_s)
        try:
            await exchange.finished
        except BaseException:
            self.abort()
            raise
        finally:
            deadline.cancel()
        return exchange

    def begin_stream(self, request: bytes, url: str) -> StreamedExchange:
        """Send a request; the answer arrives in what is returned."""
        assert self._transport is not None
        exchange = StreamedExchange(self._loop, url, self._transport)
        self._begin(request, exchange)
        return exchange

    def _begin(self, request: bytes, exchange: Exchange) -> None:
        assert self._transport is not None and self._exchange is None
        self._exchange = exchange
        self._transport.write(request)

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
        notice_silence(cast("socket.socket | None", transport.get_extra_info("socket")))

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:
            self.abort()
            return
        self._exchange.feed(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._closed = True
        if self._exchange is not None:
            self._exchange.end_of_connection(error)


def notice_silence(sock: socket.socket | None) -> None:
    """Have the kernel end a TCP connection whose peer does not even confirm what it gets. On Linux only."""
    if sys.platform == "linux" and sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, GONE_AFTER_S // 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(GONE_AFTER_S // 6, 1))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_AFTER_S * 1000)


class Exchange:
    """The answer to one request: status, headers and body; `finished` is done when all of it is here."""

    def __init__(self, loop: asyncio.AbstractEventLoop, url: str, max_bytes: int | None) -> None:
        """`max_bytes`: of the body at most; None: any number."""
        self.finished: asyncio.Future[None] = loop.create_future()
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        """Names in lower case."""
        self.reusable = False
        self.chunks: deque[bytes] = deque()
        """Of the body, as they came."""
        self._url, self._max_bytes = url, max_bytes
        self._parser = httptools.HttpResponseParser(self)
        self._size = self._header_bytes = 0
        self._in_body = self._ends_with_connection = False

    def feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._lose(f"the answer is no HTTP: {error}")
        if not self._in_body:
            self._header_bytes += len(data)
            if self._header_bytes > _MAX_HEADER_BYTES:
                self._refuse(f"the headers of the answer have more than {_MAX_HEADER_BYTES} bytes")

    def end_of_connection(self, error: Exception | None) -> None:
        if self.finished.done():
            return
        if self._ends_with_connection and self._in_body and error is None:
            self._finish(reusable=False)
        else:
            self._lose(str(error) if error else "closed before the answer was complete")

    def expire(self, timeout_s: float) -> None:
        """So long was waited for it."""
        self._fail(DeadlineExceeded(f"no complete answer within {timeout_s:.3g} s", url=self._url, delivered=True))

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
        self._in_body = True

    def on_body(self, data: bytes) -> None:
        self.chunks.append(data)
        self._size += len(data)
        if self._max_bytes is not None and self._size > self._max_bytes:
            self.chunks.clear()
            self._refuse(f"the answer has more than {self._max_bytes} bytes, which is the limit")

    def on_message_complete(self) -> None:
        if self.status >= 200:
            self._finish(reusable=self._parser.should_keep_alive())

    def _finish(self, *, reusable: bool) -> None:
        self.reusable = reusable
        if not self.finished.done():
            self.finished.set_result(None)

    def _lose(self, why: str) -> None:
        self._fail(ConnectionLost(f"the connection broke: {why}", url=self._url, delivered=True))

    def _refuse(self, why: str) -> None:
        self._fail(AnswerTooLarge(why, url=self._url, delivered=True, status=self.status or None))

    def _fail(self, error: RequestError) -> None:
        if not self.finished.done():
            self.finished.set_exception(error)


class StreamedExchange(Exchange):
    """An answer whose body is read as it arrives; while nobody reads, not much more of it is received."""

    def __init__(self, loop: asyncio.AbstractEventLoop, url: str, transport: asyncio.Transport) -> None:
        super().__init__(loop, url, max_bytes=None)
        self.begun: asyncio.Future[None] = loop.create_future()
        """Done with the headers."""
        self._transport, self._more = transport, asyncio.Event()

    async def next_chunk(self) -> bytes | None:
        """The next piece of the body; None at its end. Raises `ConnectionLost` where it breaks off."""
        while not self.chunks:
            if self.finished.done():
                self.finished.result()
                return None
            self._more.clear()
            await self._more.wait()
        chunk = self.chunks.popleft()
        self._size -= len(chunk)
        if self._size <= _PAUSE_BYTES and not self.finished.done():
            self._transport.resume_reading()
        return chunk

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._in_body and not self.begun.done():
            self.begun.set_result(None)

    def on_body(self, data: bytes) -> None:
        super().on_body(data)
        self._more.set()
        if self._size > _PAUSE_BYTES:
            self._transport.pause_reading()

    def _finish(self, *, reusable: bool) -> None:
        super()._finish(reusable=reusable)
        self._more.set()

    def _fail(self, error: RequestError) -> None:
        super()._fail(error)
        if not self.begun.done():
            self.begun.set_exception(error)
        self.finished.exception()  # seen: which of the two is waited for depends on how far it came
        self._more.set()
