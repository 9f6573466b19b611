"""The benchmark of adaptive concurrency runs in a short form, and its arithmetic is right. No figure is asserted."""

from __future__ import annotations

import pytest

from tests.benchmarks.concurrency import CASES, SAMPLE_S, Phase, measured, phase
from tests.benchmarks.limited_endpoint import Counts, Limits

LIMITS = Limits("refuses", capacity=10, latency_s=0.5)


def samples(used: list[float]) -> list[tuple[float, Counts]]:
    """Those of an endpoint of which so much was used in each second; a tenth as many are refused as answered."""
    counts, found = Counts(), []
    for number in range(round(len(used) / SAMPLE_S)):
        found.append((number * SAMPLE_S, Counts(counts.answered, counts.refused, counts.busy_s)))
        share = used[int(number * SAMPLE_S)]
        counts.busy_s += share * LIMITS.capacity * SAMPLE_S
        counts.answered += round(share * 100)
        counts.refused += round(share * 10)
    return found


def test_a_capacity_is_found_when_it_is_used_for_a_while() -> None:
    found = phase(LIMITS, samples([0.1, 0.2, 0.9, 0.1, 0.1, *[1.0] * 10]))
    assert found.found_after_s is not None and 4.5 < found.found_after_s <= 5.0
    assert found.used == pytest.approx(1.0, abs=0.03)
    assert found.refused == pytest.approx(1 / 11, abs=0.001)


def test_one_that_is_never_found_counts_from_the_beginning() -> None:
    found = phase(LIMITS, samples([0.5] * 8))
    assert found == Phase(None, pytest.approx(0.5), pytest.approx(5 / 55), pytest.approx(5 / 55))


async def test_a_case_is_measured_with_the_whole_capacity_and_with_half_of_it() -> None:
    whole, half = await measured(CASES[0], 0.75)
    assert whole.used > 0 and half.used > 0
    assert whole.found_after_s is half.found_after_s is None
