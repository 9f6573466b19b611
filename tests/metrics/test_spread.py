"""Mean, extremes, median and standard deviation against the standard library."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_gym.metrics.spread import spread, spread_of_fields


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_spread_agrees_with_the_standard_library(values: list[float]) -> None:
    found = spread(values)
    assert found["mean"] == pytest.approx(statistics.fmean(values), abs=1e-6)
    assert found["median"] == statistics.median(values)
    assert (found["min"], found["max"]) == (min(values), max(values))
    assert found["std"] == pytest.approx(statistics.stdev(values), rel=1e-6, abs=1e-6)
    assert found["min"] <= found["mean"] <= found["max"]


def test_a_single_value_has_a_standard_deviation_of_zero() -> None:
    assert spread([0.7]) == {"mean": 0.7, "max": 0.7, "min": 0.7, "median": 0.7, "std": 0.0}


def test_spread_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        spread([])


def test_a_field_is_described_over_the_rollouts_that_hold_it() -> None:
    found = spread_of_fields([{"reward": 1.0, "bonus": 4.0}, {"reward": 0.0}])
    assert found["mean/reward"] == 0.5
    assert found["mean/bonus"] == 4.0
