"""The HTTP client: pooled, every request with a deadline, retries bounded and only where they are safe."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from pydantic import BaseModel

from nemo_gym.errors import BadBody, BadStatus, ConnectionLost, DeadlineExceeded, RequestError, Unreachable

if TYPE_CHECKING:
    import aiohttp

CONNECT_TIMEOUT_S = 10.0
CLIENT_KEEPALIVE_S = 30.0
"""Idle connections are closed by the client after this time: well before a server of ours does, so that no request
is ever written to a connection that its server is closing."""
SERVER_KEEPALIVE_S = 75.0

REFUSED_STATUSES = frozenset({429, 503})
"""Statuses by which a server says that it did not process the request."""


@dataclass(frozen=True)
class RetryPolicy:
    """When a request is sent again: exponential back-off with full jitter, `Retry-After` obeyed, always bounded."""

    max_attempts: int = 3
    max_elapsed_s: float = 60.0
    base_s: float = 0.2
    cap_s: float = 10.0
    retry_delivered: bool = False
    """Also send again what may have been processed. Only for requests that may safely happen twice."""

    def delay_s(self, attempt: int, retry_after_s: float | None) -> float:
        """Seconds to wait after attempt number `attempt`, counted from 1."""
        backoff = random.uniform(0, min(self.cap_s, self.base_s * 2 ** (attempt - 1)))
        return max(backoff, retry_after_s or 0.0)


NO_RETRY = RetryPolicy(max_attempts=1)


class _Content:
    """`response.content.read()`, as users of aiohttp write it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        return self._body


@dataclass(frozen=True)
class HttpResponse:
    """A complete answer: status, headers and the whole body. A status of 400 or above does not raise by itself."""

    url: str
    status: int
    headers: Mapping[str, str]
    """Keys in lower case."""
    body: bytes
    cookies: dict[str, str] = field(default_factory=dict)
    """What the server asked to keep, by name."""

    @property
    def ok(self) -> bool:
        return self.status < 400

    @property
    def content(self) -> _Content:
        return _Content(self.body)

    @property
    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 become U+FFFD."""
        return self.body.decode("utf-8", errors="replace")

    def parse(self) -> Any:
        """The body as JSON. Raises `BadBody` where it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise BadBody(
                f"the answer is no JSON ({error}): {self.text[:200]!r}",
                url=self.url,
                delivered=True,
                status=self.status,
                body=self.body,
            ) from error

    async def json(self) -> Any:
        return self.parse()

    async def read(self) -> bytes:
        return self.body

    def raise_for_status(self) -> None:
        """Raise `BadStatus` for a status of 400 or above."""
        if not self.ok:
            raise BadStatus(
                f"HTTP {self.status}: {self.text[:500]}",
                url=self.url,
                delivered=self.status not in REFUSED_STATUSES,
                status=self.status,
                body=self.body,
            )


class ByteStream(Protocol):
    """A body that arrives in pieces."""

    status: int
    headers: Mapping[str, str]

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class HttpClient:
    """One pool of connections for everything in a process. How many there are at a time is the caller's to bound."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
        timeout_s: float = 600.0,
        retry: RetryPolicy = NO_RETRY,
    ) -> HttpResponse:
        """Send one request, again where `retry` allows it, and return the last answer.

        `timeout_s` bounds all attempts and waits together. `json`, anything that `to_json` takes, wins over `body`.
        Raises a `RequestError` (`Unreachable`, `ConnectionLost`, `DeadlineExceeded`) where there is no answer.
        """
        sent = {"content-type": "application/json"} if json is not None else {}
        sent.update(headers or {})
        if cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        payload = to_json(json) if json is not None else body
        started = time.monotonic()
        give_up_at = started + min(timeout_s, retry.max_elapsed_s) if retry.max_attempts > 1 else 0.0
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._send(method, url, payload, sent, timeout_s - (time.monotonic() - started))
            except RequestError as error:
                error.attempts = attempt
                wait_s = retry.delay_s(attempt, None)
                may_repeat = retry.retry_delivered or not error.delivered
                if not may_repeat or attempt >= retry.max_attempts or time.monotonic() + wait_s > give_up_at:
                    raise
            else:
                wait_s = retry.delay_s(attempt, _retry_after_s(response.headers))
                may_repeat = response.status in REFUSED_STATUSES or (retry.retry_delivered and response.status >= 500)
                if not may_repeat or attempt >= retry.max_attempts or time.monotonic() + wait_s > give_up_at:
                    return response
            await asyncio.sleep(wait_s)

    async def _send(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> HttpResponse:
        """One attempt."""
        async with _as_request_errors(url, timeout_s):
            session = self._session or self._open()
            timeout = _client_timeout(timeout_s)
            async with session.request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                received = {key.lower(): value for key, value in answer.headers.items()}
                cookies: dict[str, str] = {}
                if "set-cookie" in received:
                    cookies = parse_set_cookies(answer.headers.getall("Set-Cookie"))
                return HttpResponse(url, answer.status, received, await answer.read(), cookies)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 600.0,
    ) -> AsyncIterator[ByteStream]:
        """Send one request and hand over the answer's body as it arrives. Never sent again."""
        async with _as_request_errors(url, timeout_s):
            session = self._session or self._open()
            timeout = _client_timeout(timeout_s)
            async with session.request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                yield _AiohttpStream(answer)

    def _open(self) -> aiohttp.ClientSession:
        # Imported here: it costs 90 ms, and a server that calls nobody never needs it.
        import aiohttp

        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=CLIENT_KEEPALIVE_S)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    async def close(self) -> None:
        """Close all connections. The client may be used again afterwards."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class _AiohttpStream:
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.status = answer.status
        self.headers: Mapping[str, str] = {key.lower(): value for key, value in answer.headers.items()}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._answer.content.iter_any():
            yield chunk


def to_json(value: object) -> bytes:
    """JSON bytes of a pydantic model, a dict, a list, a dataclass, or anything else that orjson writes."""
    if isinstance(value, BaseModel):
        return value.__pydantic_serializer__.to_json(value)
    return orjson.dumps(value, default=_jsonable)


def parse_set_cookies(headers: list[str]) -> dict[str, str]:
    """Name and value of each `Set-Cookie` header; attributes are dropped, since cookies here never leave a rollout."""
    pairs = (header.split(";", 1)[0].partition("=") for header in headers)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _jsonable(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _client_timeout(timeout_s: float) -> aiohttp.ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(total=max(timeout_s, 0.001), sock_connect=CONNECT_TIMEOUT_S)


@asynccontextmanager
async def _as_request_errors(url: str, timeout_s: float) -> AsyncIterator[None]:
    """Say what aiohttp reports in our own error types: was the request delivered or not?"""
    import aiohttp

    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise Unreachable(f"no connection within {CONNECT_TIMEOUT_S:g} s", url=url, delivered=False) from error
    except aiohttp.ClientConnectorError as error:
        raise Unreachable(f"cannot connect: {error}", url=url, delivered=False) from error
    except TimeoutError as error:
        raise DeadlineExceeded(f"no complete answer within {timeout_s:.3g} s", url=url, delivered=True) from error
    except aiohttp.InvalidURL as error:
        raise RequestError(f"not a URL: {error}", url=url, delivered=False) from error
    except (aiohttp.ClientError, OSError) as error:
        what = str(error) or type(error).__name__
        raise ConnectionLost(f"the connection broke: {what}", url=url, delivered=True) from error


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number, or an HTTP date."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
