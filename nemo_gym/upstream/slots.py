"""Slots: how many requests are with an endpoint at a time, and until when it has asked to get none at all."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from nemo_gym.errors import DeadlineExceeded, EngineRefusedError
from nemo_gym.serving.error_answers import error_response
from nemo_gym.serving.http import retry_after_s
from nemo_gym.serving.http_response import REFUSED_STATUSES
from nemo_gym.serving.in_flight import waiting_for
from nemo_gym.upstream.adaptive_limit import FIRST_LIMIT, AdaptiveLimit


def _allowed(value: object) -> object:
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if number is None or number == "auto" or (isinstance(number, int) and number is not True and number >= 1):
        return number
    raise ValueError("must be a whole number from 1 on, or `auto`; null is no limit")


Allowed = Annotated[int | Literal["auto"] | None, BeforeValidator(_allowed)]
"""Requests at a time: so many, as many as turn out well, or any number."""


MAX_PAUSE_S = 120.0
"""However long an endpoint asks to be left alone, after this it is asked again: one wrong header must not end a run."""


class EndpointLoad(BaseModel):
    """How an endpoint is used right now, as `GET /concurrency` tells."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    limit: int | None
    """Requests that it may get at a time; None: any number."""
    in_flight: int
    waiting: int
    """Requests that have not been sent yet."""
    paused_s: float
    """For so long it has asked to get none."""
    answered: int
    refused: int
    """Since the server was started."""


@dataclass
class Slot:
    """Leave to send one request. Whoever has it says what came of it."""

    sent_at: float
    was_answered: bool = False
    was_refused: bool = False
    pause_s: float = 0.0

    def came(self, status: int, headers: Mapping[str, str]) -> None:
        """An answer, or its beginning. Errors other than refusals tell nothing of the endpoint's load."""
        self.was_answered = status < 400
        if status in REFUSED_STATUSES:
            self.was_refused, self.pause_s = True, min(retry_after_s(headers) or 0.0, MAX_PAUSE_S)


class Slots:
    """Those of one endpoint, given in the order in which they were asked for."""

    def __init__(self, url: str, allowed: Allowed) -> None:
        self.url = url
        self._in_flight = self._answered = self._refused = 0
        self._waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._paused_until = 0.0
        """0 outside of pauses."""
        self._pausing: asyncio.TimerHandle | None = None
        self._limit: float | AdaptiveLimit | None = None
        self.allow(allowed)

    def allow(self, allowed: Allowed) -> None:
        """From now on, also for who waits already."""
        if allowed == "auto":
            self._limit = AdaptiveLimit(time.monotonic(), max(FIRST_LIMIT, float(self._in_flight)))
        else:
            self._limit = allowed
        self._give()

    def load(self) -> EndpointLoad:
        limit = self._most()
        return EndpointLoad(
            url=self.url,
            limit=None if limit is None else int(limit),
            in_flight=self._in_flight,
            waiting=len(self._waiting),
            paused_s=max(0.0, self._paused_until - time.monotonic()),
            answered=self._answered,
            refused=self._refused,
        )

    @asynccontextmanager
    async def slot(self, deadline: float) -> AsyncIterator[Slot]:
        """Wait for a slot and hold it, for one request. That it misses its deadline counts as a refusal.

        Raises `DeadlineExceeded` where there is none before `deadline` (monotonic), and `EngineRefusedError`, at once,
        where the endpoint asked for a pause until after it.
        """
        if self._waiting or not self._is_free():
            await self._wait(deadline)
        else:
            self._in_flight += 1
        slot = Slot(time.monotonic())
        try:
            with waiting_for(self.url, "an answer"):
                yield slot
        except DeadlineExceeded:
            slot.was_refused = True
            raise
        finally:
            self._leave(slot)

    async def _wait(self, deadline: float) -> None:
        if self._paused_until > deadline:
            raise self._refusal()
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = None
        what = "the end of a pause (`Retry-After`)" if self._paused_until else "a free slot"
        try:
            with waiting_for(self.url, what):
                async with asyncio.timeout(deadline - time.monotonic()):
                    await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():  # given at the same moment
                self._leave(Slot(0.0))
            self._waiting.pop(waiter, None)
            if isinstance(error, TimeoutError):
                why = "not sent: all of `max_concurrent_requests` were in use until the deadline"
                raise DeadlineExceeded(why, url=self.url, delivered=False) from None
            raise

    def _refusal(self) -> EngineRefusedError:
        """What the endpoint would say now, as it did."""
        seconds = str(math.ceil(self.load().paused_s))
        message = f"{self.url}: not sent: it asked to be left alone for {seconds} s more (`Retry-After`)"
        refused = error_response(429, "upstream_error", message)
        return EngineRefusedError(refused.status_code, bytes(refused.body), {"retry-after": seconds})

    def _leave(self, slot: Slot) -> None:
        now, adaptive = time.monotonic(), self._limit if isinstance(self._limit, AdaptiveLimit) else None
        if slot.was_refused:
            self._refused += 1
            if adaptive:
                adaptive.refused(now, sent_at=slot.sent_at, in_flight=self._in_flight, pause_s=slot.pause_s)
            self._pause(now, slot.pause_s)
        elif slot.was_answered:
            self._answered += 1
            if adaptive:
                adaptive.answered(now, in_flight=self._in_flight, wanted=bool(self._waiting))
        self._in_flight -= 1
        self._give()

    def _pause(self, now: float, seconds: float) -> None:
        """Nobody sends anything for so long."""
        if now + seconds > max(now, self._paused_until):
            self._paused_until = now + seconds
            if self._pausing is not None:
                self._pausing.cancel()
            self._pausing = asyncio.get_running_loop().call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._paused_until = 0.0
        self._give()

    def _give(self) -> None:
        """Give slots to those who wait, as long as there are any."""
        while self._waiting and self._is_free():
            waiter, _ = self._waiting.popitem(last=False)
            if not waiter.done():
                self._in_flight += 1
                waiter.set_result(None)

    def _is_free(self) -> bool:
        limit = self._most()
        return not self._paused_until and (limit is None or self._in_flight + 1 <= limit)

    def _most(self) -> float | None:
        return self._limit.limit if isinstance(self._limit, AdaptiveLimit) else self._limit
