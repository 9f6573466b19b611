"""The adaptive limit against endpoints of known capacity, in simulated time: it finds it, and finds it again."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

import pytest

from nemo_gym.upstream.adaptive_limit import AdaptiveLimit

CLIENTS = 400
LATENCY_S = 0.5
REFUSAL_S = 0.01
BURST_S = 1.0


class Endpoint:
    """Its capacity may be changed while it works. Latencies are spread around `LATENCY_S`."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.busy = capacity, 0

    @property
    def most_a_second(self) -> float:
        """Answers, when it is busy all the time."""
        return self.capacity / LATENCY_S

    def takes(self, now: float) -> bool:
        raise NotImplementedError


class Refusing(Endpoint):
    """Refuses what goes beyond so many at a time."""

    def takes(self, now: float) -> bool:
        return self.busy < self.capacity


class Rated(Endpoint):
    """Refuses what goes beyond so many a second, however many are under way."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self._allowed, self._at = self.most_a_second * BURST_S, 0.0

    def takes(self, now: float) -> bool:
        gained = (now - self._at) * self.most_a_second
        self._allowed, self._at = min(self.most_a_second * BURST_S, self._allowed + gained), now
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True


class Queueing(Endpoint):
    """Takes everything, and has what goes beyond so many at a time wait."""

    def takes(self, now: float) -> bool:
        return True


class World:
    """Clients that want answers all the time, and get as many requests through as the limit allows."""

    def __init__(self, endpoint: Endpoint, seed: int, pause_s: float = 0.0) -> None:
        """`pause_s`: for so long nobody sends anything after a refusal."""
        self.endpoint, self.limit, self._pause_s = endpoint, AdaptiveLimit(0.0), pause_s
        self._paused_until = 0.0
        self.now, self.answered, self.refused = 0.0, 0, 0
        self._in_flight = 0
        self._queue: list[float] = []
        self._rng = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[float], None], float]] = []
        self._count = 0

    def run(self, seconds: float) -> tuple[float, float]:
        """Share of what the endpoint can do that was used, and share of its answers that were refusals."""
        until, answered, refused = self.now + seconds, self.answered, self.refused
        self._send()
        while self._events and self._events[0][0] <= until:
            self.now, _, happens, sent_at = heapq.heappop(self._events)
            happens(sent_at)
            self._send()
        self.now = until
        answered, refused = self.answered - answered, self.refused - refused
        return answered / seconds / self.endpoint.most_a_second, refused / max(1, refused + answered)

    def _send(self) -> None:
        while self._paused_until <= self.now and self._in_flight + 1 <= min(self.limit.limit, CLIENTS):
            self._in_flight += 1
            if not self.endpoint.takes(self.now):
                self._later(REFUSAL_S, self._refuse, self.now)
            elif isinstance(self.endpoint, Queueing) and self.endpoint.busy >= self.endpoint.capacity:
                self._queue.append(self.now)
            else:
                self._work_on(self.now)

    def _work_on(self, sent_at: float) -> None:
        self.endpoint.busy += 1
        self._later(self._rng.expovariate(1 / LATENCY_S), self._answer, sent_at)

    def _answer(self, sent_at: float) -> None:
        self.answered += 1
        self.endpoint.busy -= 1
        if self._queue and self.endpoint.busy < self.endpoint.capacity:
            self._work_on(self._queue.pop(0))
        self.limit.answered(self.now, in_flight=self._in_flight, wanted=self._in_flight < CLIENTS)
        self._in_flight -= 1

    def _refuse(self, sent_at: float) -> None:
        self.refused += 1
        self.limit.refused(self.now, sent_at=sent_at, in_flight=self._in_flight, pause_s=self._pause_s)
        self._in_flight -= 1
        if self._pause_s:
            self._paused_until = self.now + self._pause_s
            self._later(self._pause_s, lambda _: None, self.now)

    def _later(self, seconds: float, happens: Callable[[float], None], sent_at: float) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + seconds, self._count, happens, sent_at))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("capacity", [64, 100, 200])
@pytest.mark.parametrize("kind", [Refusing, Rated, Queueing])
def test_it_finds_the_capacity_and_finds_it_again_when_that_halves(
    kind: type[Endpoint], capacity: int, seed: int
) -> None:
    world = World(kind(capacity), seed)
    world.run(30)
    first = world.run(60)
    world.endpoint.capacity //= 2
    _, refused_on_the_way = world.run(30)
    again = world.run(60)
    assert min(first[0], again[0]) >= 0.9
    assert max(first[1], again[1], refused_on_the_way) < 0.05


@pytest.mark.parametrize("seed", range(5))
def test_where_each_refusal_makes_all_wait_few_are_risked(seed: int) -> None:
    world = World(Refusing(64), seed, pause_s=1.0)
    world.run(30)
    first = world.run(120)
    world.endpoint.capacity = 32
    world.run(30)
    again = world.run(120)
    assert min(first[0], again[0]) >= 0.9
    assert max(first[1], again[1]) < 0.01


@pytest.mark.parametrize("seed", range(5))
def test_more_capacity_is_found_too(seed: int) -> None:
    world = World(Refusing(32), seed)
    world.run(30)
    world.endpoint.capacity = 128
    world.run(60)
    assert world.run(30)[0] >= 0.9


@pytest.mark.parametrize("seed", range(5))
def test_what_an_endpoint_queues_stays_bounded(seed: int) -> None:
    world = World(Queueing(20), seed)
    limits = []
    for _ in range(120):
        world.run(5)
        limits.append(world.limit.limit)
    assert sum(limits) / len(limits) < CLIENTS / 2


def test_a_limit_that_nobody_uses_up_stays_as_it_is() -> None:
    limit = AdaptiveLimit(0.0, 64.0)
    for second in range(1000):
        limit.answered(float(second), in_flight=3, wanted=False)
    assert limit.limit == 64.0


def test_of_requests_sent_together_those_that_were_taken_are_the_limit() -> None:
    limit = AdaptiveLimit(0.0, 100.0)
    for number in range(60):
        limit.refused(1.0 + number / 100, sent_at=0.5, in_flight=100 - number)
    assert limit.limit == 40.0
    limit.refused(2.0, sent_at=1.9, in_flight=40)
    assert limit.limit == 38.0


def test_it_never_falls_below_one() -> None:
    limit = AdaptiveLimit(0.0)
    for second in range(1, 100):
        limit.refused(float(second), sent_at=second - 0.5, in_flight=1)
    assert limit.limit == 1.0
