"""HTTP over sockets: a pool of connections for each place, deadlines for everything, and no more than that.

Measured beside aiohttp, httpx and a client in Rust: `python -m tests.benchmarks.clients`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from nemo_gym.errors import ConnectionLost, DeadlineExceeded, RequestError, Unreachable
from nemo_gym.serving.connection import Connection, Exchange, StreamedExchange
from nemo_gym.serving.http_response import MAX_ANSWER_BYTES, ByteStream, Cookie, HttpResponse, parse_set_cookies

MORE_FILES = "give its server more workers (`num_workers`), or raise the limit (`ulimit -Hn`)"
CONNECT_TIMEOUT_S = 10.0
KEEPALIVE_S = 4.0
"""A connection that was idle for longer is not used again. Most endpoints in Python close theirs after 5 s, ours
after 75: so no request is ever written to a connection that its server is just closing."""


class _Place(NamedTuple):
    """Where requests to a URL go."""

    host: str
    port: int
    is_tls: bool


@dataclass(frozen=True)
class _Target:
    place: _Place
    head: bytes
    """Request target and `Host` header, as they are sent."""


class SocketTransport:
    """A pool of connections. How many there are at a time is for the callers to bound."""

    def __init__(self) -> None:
        self._idle: dict[_Place, list[Connection]] = {}
        self._tls: ssl.SSLContext | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> HttpResponse:
        """One attempt. Raises a `RequestError` where there is no complete answer within `timeout_s`."""
        target = _target_of(url)
        request = _written(method, target, body, headers)
        loop = asyncio.get_running_loop()
        began = loop.time()
        connection = self._idle_connection(target.place) or await self._connect(target.place, url, timeout_s)
        exchange = await connection.answer_to(request, url, max_bytes, timeout_s - (loop.time() - began))
        self._give_back(target.place, connection)
        return _response(url, exchange)

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[ByteStream]:
        """The answer's body as it arrives; `timeout_s` bounds the whole of it."""
        target = _target_of(url)
        try:
            async with asyncio.timeout(timeout_s):
                connection = self._idle_connection(target.place) or await self._connect(target.place, url, timeout_s)
                try:
                    exchange = connection.begin_stream(_written(method, target, body, headers), url)
                    await exchange.begun
                    yield _Stream(exchange)
                finally:
                    if exchange.finished.done() and not exchange.chunks:
                        self._give_back(target.place, connection)
                    else:
                        connection.abort()
        except TimeoutError as error:
            raise DeadlineExceeded(f"no complete answer within {timeout_s:.3g} s", url=url, delivered=True) from error

    async def close(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _idle_connection(self, place: _Place) -> Connection | None:
        """The one used last."""
        waiting = self._idle.get(place)
        now = asyncio.get_running_loop().time() if waiting else 0.0
        while waiting:
            connection = waiting.pop()
            if now - connection.idle_since < KEEPALIVE_S and connection.is_alive():
                return connection
            connection.abort()
        return None

    async def _connect(self, place: _Place, url: str, timeout_s: float) -> Connection:
        """A new one. Raises `Unreachable`, and `DeadlineExceeded` where `timeout_s` is over before it can be said."""
        context = self._tls_context() if place.is_tls else None
        limit_s = min(timeout_s, CONNECT_TIMEOUT_S)
        try:
            async with asyncio.timeout(limit_s) as connecting:
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection, place.host, place.port, ssl=context
                )
        except TimeoutError as error:
            if not connecting.expired():
                raise Unreachable(f"cannot connect: {_why_not(error)}", url=url, delivered=False) from error
            kind = Unreachable if limit_s == CONNECT_TIMEOUT_S else DeadlineExceeded
            raise kind(f"no connection within {limit_s:.3g} s", url=url, delivered=False) from error
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"cannot connect: {_why_not(error)}", url=url, delivered=False) from error
        return connection

    def _give_back(self, place: _Place, connection: Connection) -> None:
        if not connection.end():
            return
        self._idle.setdefault(place, []).append(connection)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(KEEPALIVE_S, self._sweep)

    def _sweep(self) -> None:
        """Close the connections that nobody has used for long."""
        loop = asyncio.get_running_loop()
        self._sweeping = None
        for place, connections in list(self._idle.items()):
            kept = [each for each in connections if loop.time() - each.idle_since < KEEPALIVE_S]
            for connection in connections[: len(connections) - len(kept)]:
                connection.abort()
            if kept:
                self._idle[place] = kept
            else:
                del self._idle[place]
        if self._idle:
            self._sweeping = loop.call_later(KEEPALIVE_S / 2, self._sweep)

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


class _Stream:
    def __init__(self, exchange: StreamedExchange) -> None:
        self._exchange = exchange
        self.status = exchange.status
        self.headers: Mapping[str, str] = dict(exchange.headers)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self._exchange.next_chunk()) is not None:
            yield chunk


@lru_cache(maxsize=4096)
def _target_of(url: str) -> _Target:
    """Raises `RequestError` for what is no HTTP URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise RequestError(f"not a URL: {error}", url=url, delivered=False) from error
    if parts.scheme not in ("http", "https") or not host:
        raise RequestError("not a URL: it must be http://host or https://host", url=url, delivered=False)
    is_tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or any(letter <= " " for letter in path):
        raise RequestError("not a URL: spaces and letters beyond ASCII must be escaped", url=url, delivered=False)
    name = f"[{host}]" if ":" in host else host
    named = name if port is None else f"{name}:{port}"
    head = f" {path} HTTP/1.1\r\nhost: {named}\r\n".encode("ascii", errors="replace")
    return _Target(_Place(host, port or (443 if is_tls else 80), is_tls), head)


def _written(method: str, target: _Target, body: bytes | None, headers: Mapping[str, str]) -> bytes:
    """The request as it is sent. Raises ValueError for a header that would be more than one line."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if lines.count("\n") != len(headers):
        raise ValueError("a header must not hold a line break")
    length = b"content-length: %d\r\n" % len(body or b"") if body is not None or method != "GET" else b""
    return b"".join((method.encode(), target.head, lines.encode("latin-1"), length, b"\r\n", body or b""))


def _response(url: str, exchange: Exchange) -> HttpResponse:
    headers = dict(exchange.headers)
    cookies: dict[str, Cookie] = {}
    if "set-cookie" in headers:
        cookies = parse_set_cookies([value for name, value in exchange.headers if name == "set-cookie"])
    chunks = exchange.chunks
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    if headers.get("content-encoding") in ("gzip", "deflate"):  # nobody asked for it; some answer so all the same
        try:
            body = zlib.decompress(body, wbits=zlib.MAX_WBITS | 32)
        except zlib.error as error:
            raise ConnectionLost(f"the body cannot be unpacked: {error}", url=url, delivered=True) from error
    return HttpResponse(url, exchange.status, headers, body, cookies)


def _why_not(error: Exception) -> str:
    """The system's words alone: the address is in the URL already."""
    if isinstance(error, ssl.SSLError):
        return str(error)
    with suppress(AttributeError, IndexError):
        # Where several addresses of a host were tried, asyncio tells of all; they fail alike.
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, socket.gaierror):
            words = os.strerror(error.errno).lower()
            return f"{words} in this process; {MORE_FILES}" if error.errno == errno.EMFILE else words
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return str(error)
