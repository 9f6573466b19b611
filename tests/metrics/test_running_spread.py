"""The spread of a stream agrees with that of the list."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_gym.metrics.running_spread import RunningSpread
from nemo_gym.metrics.spread import spread

NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@given(NUMBERS)
def test_a_stream_has_the_spread_of_its_list(values: list[float]):
    running = RunningSpread()
    for value in values:
        running.add(value)
    assert running.spread() == pytest.approx(spread(values), rel=1e-9, abs=1e-6)


def test_of_a_long_stream_only_the_median_is_estimated():
    rng = random.Random(1)
    values = [rng.random() for _ in range(20_000)]
    running = RunningSpread(sample_size=2_000)
    for value in values:
        running.add(value)
    exact, found = spread(values), running.spread()
    assert found["median"] == pytest.approx(exact["median"], abs=0.05)
    for name in ("mean", "max", "min", "std"):
        assert found[name] == pytest.approx(exact[name], rel=1e-9)


def test_nothing_has_no_spread():
    with pytest.raises(ValueError, match="no values"):
        RunningSpread().spread()
