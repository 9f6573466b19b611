"""The HTTP client: pooled, every request with a deadline, retries bounded and only where they are safe."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Protocol

import orjson
from pydantic import BaseModel

from nemo_gym.errors import RequestError
from nemo_gym.serving.http_response import MAX_ANSWER_BYTES, REFUSED_STATUSES, ByteStream, HttpResponse


class Transport(Protocol):
    """What requests travel by: one attempt each, raising `RequestError`s."""

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> HttpResponse: ...

    def stream(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> AbstractAsyncContextManager[ByteStream]: ...

    async def close(self) -> None: ...


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


class HttpClient:
    """One pool of connections for everything in a process. How many there are at a time is the caller's to bound."""

    def __init__(self, transport: Transport | None = None) -> None:
        """`transport`: what requests travel by; None: sockets."""
        self._transport = transport

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
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> HttpResponse:
        """Send one request, again where `retry` allows it, and return the last answer.

        `timeout_s` bounds all attempts and waits together. `json`, anything that `to_json` takes, wins over `body`.
        Raises a `RequestError` (`Unreachable`, `ConnectionLost`, `DeadlineExceeded`) where there is no answer, and
        `AnswerTooLarge` where its body has more than `max_bytes`.
        """
        sent = {"content-type": "application/json"} if json is not None else {}
        sent.update(headers or {})
        if cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        transport = self._transport or self._open()
        payload = to_json(json) if json is not None else body
        started = time.monotonic()
        give_up_at = started + min(timeout_s, retry.max_elapsed_s) if retry.max_attempts > 1 else 0.0
        attempt = 0
        while True:
            attempt += 1
            try:
                left_s = timeout_s - (time.monotonic() - started)
                response = await transport.send(method, url, payload, sent, left_s, max_bytes)
            except RequestError as error:
                error.attempts = attempt
                wait_s = retry.delay_s(attempt, None)
                may_repeat = retry.retry_delivered or not error.delivered
                if not may_repeat or attempt >= retry.max_attempts or time.monotonic() + wait_s > give_up_at:
                    raise
            else:
                wait_s = retry.delay_s(attempt, retry_after_s(response.headers))
                refused = response.status in REFUSED_STATUSES or (retry.retry_delivered and response.status >= 500)
                may_repeat = refused and not response.was_tried_enough
                if not may_repeat or attempt >= retry.max_attempts or time.monotonic() + wait_s > give_up_at:
                    return response
            await asyncio.sleep(wait_s)

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
        transport = self._transport or self._open()
        async with transport.stream(method, url, body, headers or {}, timeout_s) as answer:
            yield answer

    def _open(self) -> Transport:
        # Imported here: a server that calls nobody never needs it.
        from nemo_gym.serving.socket_transport import SocketTransport

        self._transport = SocketTransport()
        return self._transport

    async def close(self) -> None:
        """Close all connections. The client may be used again afterwards."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()


def to_json(value: object) -> bytes:
    """JSON bytes of a pydantic model, a dict, a list, a dataclass, or anything else that orjson writes."""
    if isinstance(value, BaseModel):
        # Without warnings: dicts may stand where models are declared, as after `model_copy(update=...)`.
        return value.__pydantic_serializer__.to_json(value, warnings=False)
    return orjson.dumps(value, default=_jsonable)


def _jsonable(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", warnings=False)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
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
