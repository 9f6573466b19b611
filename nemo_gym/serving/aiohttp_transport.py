"""HTTP over sockets, by aiohttp: loaded at a process's first request, since importing it takes 90 ms."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache

import aiohttp
from yarl import URL

from nemo_gym.errors import ConnectionLost, DeadlineExceeded, RequestError, Unreachable
from nemo_gym.serving.http_response import ByteStream, Cookie, HttpResponse, parse_set_cookies

CONNECT_TIMEOUT_S = 10.0
KEEPALIVE_S = 30.0
"""Idle connections are closed by the client after this time: well before a server of ours does, so that no request
is ever written to a connection that its server is closing."""

_parse_url = lru_cache(maxsize=4096)(URL)
_FAILURES = (aiohttp.ClientError, OSError)


class AiohttpTransport:
    """A pool of connections. How many there are at a time is for the callers to bound."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Deadlines are kept by `asyncio.timeout` below, at a third of the cost of aiohttp's own.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            skip_auto_headers=("accept", "accept-encoding", "user-agent"),
        )

    async def send(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> HttpResponse:
        """One attempt. Raises a `RequestError` where there is no complete answer within `timeout_s`."""
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.request(
                    method, _parse_url(url), data=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                received = {key.lower(): value for key, value in answer.headers.items()}
                cookies: dict[str, Cookie] = {}
                if "set-cookie" in received:
                    cookies = parse_set_cookies(answer.headers.getall("Set-Cookie"))
                return HttpResponse(url, answer.status, received, await answer.read(), cookies)
        except _FAILURES as error:
            raise _request_error(error, url, timeout_s) from error

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[ByteStream]:
        """The answer's body as it arrives; `timeout_s` bounds the whole of it."""
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.request(
                    method, _parse_url(url), data=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                yield _AiohttpStream(answer)
        except _FAILURES as error:
            raise _request_error(error, url, timeout_s) from error

    async def close(self) -> None:
        await self._session.close()


class _AiohttpStream:
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.status = answer.status
        self.headers: Mapping[str, str] = {key.lower(): value for key, value in answer.headers.items()}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._answer.content.iter_any():
            yield chunk


def _request_error(error: Exception, url: str, timeout_s: float) -> RequestError:
    """What happened, in our own types: above all, whether the request may have been processed."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return Unreachable(f"no connection within {CONNECT_TIMEOUT_S:g} s", url=url, delivered=False)
        case aiohttp.ClientConnectorError():
            return Unreachable(f"cannot connect: {_why_not(error)}", url=url, delivered=False)
        case aiohttp.InvalidURL():
            return RequestError(f"not a URL: {error}", url=url, delivered=False)
        case TimeoutError():
            return DeadlineExceeded(f"no complete answer within {timeout_s:.3g} s", url=url, delivered=True)
    what = str(error) or type(error).__name__
    return ConnectionLost(f"the connection broke: {what}", url=url, delivered=True)


def _why_not(error: aiohttp.ClientConnectorError) -> str:
    """The system's words alone: the address is in the URL already."""
    if isinstance(error, aiohttp.ClientSSLError):
        return str(error)
    cause = error.os_error
    if cause.errno is not None and cause.errno > 0:  # those of name resolution are negative and no errno
        return os.strerror(cause.errno).lower()
    return cause.strerror or str(cause)
