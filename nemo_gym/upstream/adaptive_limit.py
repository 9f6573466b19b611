"""An adaptive limit: how many requests an endpoint can work on at a time, found by asking it for more and for less.

Additive increase, multiplicative decrease, by two signs that it is enough. A refusal (429, 503) or a missed deadline:
the limit falls a little below what was in flight. And latency that grows as fast as the number of requests, which then
only wait in the endpoint's own queue: now and then the limit is lowered for a while, and where as many answers a second
come as before, it stays there. Latency alone is no sign: engines that batch give each answer more slowly and all of
them faster. By Little's law the rate of answers says both.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_LIMIT = 4.0
FIRST_GROWTH = 0.5
"""Requests that the limit grows by with each answer, until the first sign: half as many again with each round."""
SLOWEST_GROWTH, FASTEST_GROWTH = 0.005, 0.1
"""The same after a sign: from one more for two hundred answers to a tenth more with each round."""
ACCELERATION = 1.01
"""By which that growth itself grows with each answer."""
AFTER_REFUSAL = 0.95
"""Of the requests in flight, so many stay allowed."""
HOLD = 30
"""For so many times as long as a refusal makes all wait (`Retry-After`) no other is risked."""
PROBE = 0.8
"""Of the limit, so many are allowed while less is tried."""
AS_FAST = 0.95
"""With `PROBE` of the requests, so much of the rate means that the others only waited."""
PROBED_FROM = 32
"""A lower limit is not probed: a queue so short does no harm, and rates of so few answers tell little."""
WINDOW = 3
"""Rounds of answers that make a rate."""
PROBE_EVERY = 10
"""Windows from one probe to the next; it is due at once where the limit has grown by `PROBE_AFTER`."""
PROBE_AFTER = 1.2
STILL_GROWING = 1.5
"""Until the first sign the rate grows by so much at least from window to window, where none waits at the endpoint."""


@dataclass
class _Window:
    """Answers that are counted together."""

    began: float
    size: int
    answers: int = 0

    def rate(self, now: float) -> float:
        return self.answers / max(now - self.began, 1e-9)


class AdaptiveLimit:
    """Is told what becomes of requests; `limit` says how many may be in flight. Times are seconds of any clock."""

    def __init__(self, now: float, limit: float = FIRST_LIMIT) -> None:
        self.limit = limit
        self._starting, self._growth = True, FIRST_GROWTH
        self._fell_at = self._grows_from = now
        self._taken = 0
        """Of the requests that were in flight when the limit fell, those that were not refused."""
        self._settled = True
        """Whether the requests in flight are those of the limit. Until then answers count for nothing."""
        self._rate: float | None = None
        """Of answers in the last window outside of a probe."""
        self._before_probe: float | None = None
        """The limit to return to; None outside of probes."""
        self._probed, self._windows = limit, 0
        """The limit after the last probe, and the windows since."""
        self._begin_window(now)

    def answered(self, now: float, *, in_flight: int, wanted: bool) -> None:
        """A request was answered. `in_flight`: with it; `wanted`: whether others wait to be sent."""
        if in_flight < PROBE * int(self.limit):
            self._begin_window(now)  # the endpoint could do more than it is asked for: nothing is learnt
            return
        if wanted and self._settled and self._before_probe is None and now >= self._grows_from:
            self.limit += self._growth
            if not self._starting:
                self._growth = min(FASTEST_GROWTH, self._growth * ACCELERATION)
        self._window.answers += 1
        if self._window.answers >= self._window.size:
            self._end_window(now)
            self._begin_window(now)

    def refused(self, now: float, *, sent_at: float, in_flight: int, pause_s: float = 0.0) -> None:
        """A request was refused, or not answered in time. `in_flight`: with it; `pause_s`: what it costs everybody."""
        self._grows_from = max(self._grows_from, now + (1 + HOLD) * pause_s)
        if sent_at < self._fell_at:  # one of several that were sent together
            self._taken -= 1
            self.limit = max(1.0, min(self.limit, self._taken))
            return
        self._fell_at, self._taken = now, in_flight - 1
        self._starting, self._growth = False, SLOWEST_GROWTH
        self._go_on_from(AFTER_REFUSAL * min(self.limit, in_flight))
        self._begin_window(now)

    def _begin_window(self, now: float) -> None:
        self._window = _Window(now, int(WINDOW * self.limit if self._settled else self.limit))

    def _end_window(self, now: float) -> None:
        rate = self._window.rate(now)
        if not self._settled:
            self._settled = True
        elif self._before_probe is not None:
            self._judge_probe(rate, self._before_probe)
        elif now >= self._grows_from:
            self._judge(rate)

    def _judge(self, rate: float) -> None:
        """Whether it is time to try less."""
        earlier, self._rate = self._rate, rate
        self._windows += 1
        if self._starting:
            due = earlier is not None and rate < STILL_GROWING * earlier
        else:
            due = self._windows >= PROBE_EVERY or self.limit >= PROBE_AFTER * self._probed
        if due and self.limit >= PROBED_FROM:
            self._probe()

    def _judge_probe(self, rate: float, before: float) -> None:
        """Less was asked for: try still less where that did no harm, else return."""
        assert self._rate is not None
        if rate < AS_FAST * self._rate:
            self._go_on_from(before)
            return
        self._starting, self._growth, self._rate = False, SLOWEST_GROWTH, rate
        if self.limit >= PROBED_FROM:
            self._probe()
        else:
            self._go_on_from(self.limit)

    def _probe(self) -> None:
        self._before_probe, self._settled = self.limit, False
        self.limit *= PROBE

    def _go_on_from(self, limit: float) -> None:
        self.limit = self._probed = max(1.0, limit)
        self._before_probe, self._settled, self._rate, self._windows = None, False, None, 0
