"""The upstream: one OpenAI-compatible model behind one or several URLs; every call bounded in time and number."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nemo_gym.errors import ConnectionLost, DeadlineExceeded, RequestError, Unreachable
from nemo_gym.serving.http import HttpClient, RetryPolicy, retry_after_s
from nemo_gym.serving.http_response import REFUSED_STATUSES, ByteStream, HttpResponse
from responses_api_models.openai_model.replicas import Replicas


class Upstream:
    """Sends requests to the replica of their rollout.

    A request is sent again when it was certainly not processed: nobody answered (then to another replica, where one is
    live), or the answer was 429 or 503 (then after the time that `Retry-After` asks for, to the same). `retry` bounds
    attempts and seconds. With `retry.retry_delivered` a request whose connection broke is sent again too.
    """

    def __init__(
        self,
        http: HttpClient,
        replicas: Replicas,
        *,
        api_key: str,
        timeout_s: float,
        retry: RetryPolicy,
        max_concurrent_requests: int | None,
    ) -> None:
        self._http, self._replicas, self._timeout_s, self._retry = http, replicas, timeout_s, retry
        self._headers = {"content-type": "application/json"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._slots = asyncio.Semaphore(max_concurrent_requests) if max_concurrent_requests is not None else None

    async def post(self, path: str, body: bytes, key: str) -> HttpResponse:
        """The answer to `body`, whatever its status. Raises a `RequestError` where there is none."""
        deadline = time.monotonic() + self._timeout_s
        give_up_at = min(deadline, time.monotonic() + self._retry.max_elapsed_s)
        attempt = 0
        while True:
            attempt += 1
            url = self._replicas.choose(key)
            try:
                async with self._slot(url, deadline):
                    left_s = deadline - time.monotonic()
                    answer = await self._http.request(
                        "POST", url + path, body=body, headers=self._headers, timeout_s=left_s
                    )
            except (Unreachable, ConnectionLost) as error:
                error.attempts = attempt
                another_is_live = self._replicas.mark_dead(url)
                wait_s = 0.0 if another_is_live else self._retry.delay_s(attempt, None)
                may_repeat = self._retry.retry_delivered or not error.delivered
                if not may_repeat or not self._may_go_on(attempt, wait_s, give_up_at):
                    raise
            else:
                wait_s = self._retry.delay_s(attempt, retry_after_s(answer.headers))
                refused = answer.status in REFUSED_STATUSES
                if not refused or not self._may_go_on(attempt, wait_s, give_up_at):
                    return answer
            await asyncio.sleep(wait_s)

    @asynccontextmanager
    async def stream(self, path: str, body: bytes, key: str) -> AsyncIterator[ByteStream]:
        """The answer as it arrives. Sent once: what a client has seen of an answer cannot be taken back."""
        url = self._replicas.choose(key)
        async with self._slot(url, time.monotonic() + self._timeout_s):
            try:
                async with self._http.stream(
                    "POST", url + path, body=body, headers=self._headers, timeout_s=self._timeout_s
                ) as answer:
                    yield answer
            except RequestError as error:
                if isinstance(error, (Unreachable, ConnectionLost)):
                    self._replicas.mark_dead(url)
                raise

    @asynccontextmanager
    async def _slot(self, url: str, deadline: float) -> AsyncIterator[None]:
        """One of the `max_concurrent_requests`. Raises `DeadlineExceeded` where none gets free in time."""
        if self._slots is None:
            yield
            return
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await self._slots.acquire()
        except TimeoutError:
            message = "not sent: all of `max_concurrent_requests` were in use until the deadline"
            raise DeadlineExceeded(message, url=url, delivered=False) from None
        try:
            yield
        finally:
            self._slots.release()

    def _may_go_on(self, attempt: int, wait_s: float, give_up_at: float) -> bool:
        return attempt < self._retry.max_attempts and time.monotonic() + wait_s <= give_up_at
