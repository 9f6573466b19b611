"""The upstream: one OpenAI-compatible model behind one or several URLs; every call bounded in time and number."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from nemo_gym.errors import ConnectionLost, RequestError, Unreachable
from nemo_gym.serving.http import HttpClient, RetryPolicy, retry_after_s
from nemo_gym.serving.http_response import MAX_ANSWER_BYTES, REFUSED_STATUSES, ByteStream, HttpResponse
from nemo_gym.serving.in_flight import waiting_for
from nemo_gym.upstream.replicas import Replicas
from nemo_gym.upstream.slots import Allowed, EndpointLoad, Slots


class _Answered(Protocol):
    """What an attempt gives: a whole answer, or one that has begun."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


A = TypeVar("A", bound=_Answered)


class Upstream:
    """Sends requests to the replica of their rollout.

    A request is sent again when it was certainly not processed: nobody answered (then to another replica, where one is
    live), or the answer was 429 or 503 (then after the time that `Retry-After` asks for, to the same). `retry` bounds
    attempts and seconds. With `retry.retry_delivered` a request whose connection broke is sent again too.

    Each replica gets `max_concurrent_requests` at a time, and while it asks by `Retry-After` to be left alone, none.
    """

    def __init__(
        self,
        http: HttpClient,
        replicas: Replicas,
        *,
        api_key: str,
        timeout_s: float,
        retry: RetryPolicy,
        max_concurrent_requests: Allowed,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self.replicas = replicas
        self._http, self._timeout_s, self._retry = http, timeout_s, retry
        self._max_answer_bytes = max_answer_bytes
        self._headers = {"content-type": "application/json"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._slots = {url: Slots(url, max_concurrent_requests) for url in replicas.urls}

    def allow(self, max_concurrent_requests: Allowed) -> None:
        """From now on, for each replica."""
        for slots in self._slots.values():
            slots.allow(max_concurrent_requests)

    def loads(self) -> list[EndpointLoad]:
        """How each replica is used."""
        return [slots.load() for slots in self._slots.values()]

    async def post(self, path: str, body: bytes, key: str, *, at_root: bool = False) -> HttpResponse:
        """The answer to `body`, whatever its status. Raises a `RequestError` where there is none.

        `at_root`: the path lies beside the API's `/v1`, not under it.
        """

        async def attempt(url: str, deadline: float) -> HttpResponse:
            target = (url.removesuffix("/v1") if at_root else url) + path
            async with self._slots[url].slot(deadline) as slot:
                answer = await self._http.request(
                    "POST",
                    target,
                    body=body,
                    headers=self._headers,
                    timeout_s=deadline - time.monotonic(),
                    max_bytes=self._max_answer_bytes,
                )
                slot.came(answer.status, answer.headers)
                return answer

        return await self._until_answered(key, attempt, _nothing_to_close)

    @asynccontextmanager
    async def stream(self, path: str, body: bytes, key: str) -> AsyncIterator[ByteStream]:
        """The answer as it arrives. Not sent again once it has begun: what a client has seen cannot be taken back."""

        async def attempt(url: str, deadline: float) -> _OpenStream:
            async with AsyncExitStack() as opening:
                slot = await opening.enter_async_context(self._slots[url].slot(deadline))
                left_s = deadline - time.monotonic()
                sent = self._http.stream("POST", url + path, body=body, headers=self._headers, timeout_s=left_s)
                answer = await opening.enter_async_context(sent)
                slot.came(answer.status, answer.headers)
                return _OpenStream(url, answer.status, answer.headers, answer, opening.pop_all())

        opened = await self._until_answered(key, attempt, _OpenStream.aclose)
        try:
            async with opened.stack:
                yield opened.answer
        except ConnectionLost:
            self.replicas.mark_dead(opened.url)
            raise

    async def _until_answered(
        self, key: str, attempt: Callable[[str, float], Awaitable[A]], close: Callable[[A], Awaitable[None]]
    ) -> A:
        """The first answer that is none of a busy server, or what there is when the bounds are reached."""
        deadline = time.monotonic() + self._timeout_s
        give_up_at = min(deadline, time.monotonic() + self._retry.max_elapsed_s)
        attempts = 0
        while True:
            attempts += 1
            url = self.replicas.choose(key)
            try:
                answer = await attempt(url, deadline)
            except (Unreachable, ConnectionLost) as error:
                error.attempts = attempts
                another_is_live = self.replicas.mark_dead(url)
                wait_s = 0.0 if another_is_live else self._retry.delay_s(attempts, None)
                may_repeat = self._retry.retry_delivered or not error.delivered
                if not may_repeat or not self._may_go_on(attempts, wait_s, give_up_at):
                    raise
            except RequestError as error:
                error.attempts = attempts
                raise
            else:
                wait_s = self._retry.delay_s(attempts, retry_after_s(answer.headers))
                refused = answer.status in REFUSED_STATUSES
                if not refused or not self._may_go_on(attempts, wait_s, give_up_at):
                    return answer
                await close(answer)
            with waiting_for(url, "its turn to be sent again"):
                await asyncio.sleep(wait_s)

    def _may_go_on(self, attempt: int, wait_s: float, give_up_at: float) -> bool:
        return attempt < self._retry.max_attempts and time.monotonic() + wait_s <= give_up_at


@dataclass(frozen=True)
class _OpenStream:
    """An answer that has begun, and what ends it."""

    url: str
    status: int
    headers: Mapping[str, str]
    answer: ByteStream
    stack: AsyncExitStack

    async def aclose(self) -> None:
        await self.stack.aclose()


async def _nothing_to_close(_: HttpResponse) -> None:
    """A whole answer holds nothing open."""
