"""The mean of a stream is that of its numbers, added exactly."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_gym.metrics.running_mean import RunningMean


def mean_of(values: list[float]) -> float:
    running = RunningMean()
    for value in values:
        running.add(value)
    return running.mean()


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=200))
def test_a_stream_has_the_mean_of_its_list(values: list[float]):
    largest = max(map(abs, values))
    assert mean_of(values) == pytest.approx(math.fsum(values) / len(values), rel=1e-15, abs=largest * 1e-15)


def test_a_million_small_numbers_add_up():
    assert mean_of([0.1] * 1_000_000) == 0.1
    assert mean_of([1e16, *[1.0] * 1000, -1e16]) == 1000 / 1002


def test_nothing_has_no_mean():
    with pytest.raises(ValueError, match="no values"):
        RunningMean().mean()
