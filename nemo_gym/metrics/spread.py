"""Mean, extremes, median and standard deviation of a list of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def spread(values: Sequence[float]) -> dict[str, float]:
    """`mean`, `max`, `min`, `median` and `std` of at least one finite number.

    `std` is the sample standard deviation (n - 1 in the denominator); of a single value it is 0.0.
    """
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        raise ValueError("no values: their spread is not defined")
    mean = math.fsum(ordered) / n
    middle = n // 2
    median = ordered[middle] if n % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return {
        "mean": min(max(mean, ordered[0]), ordered[-1]),  # rounding may leave the range by one unit in the last place
        "max": ordered[-1],
        "min": ordered[0],
        "median": median,
        "std": sample_std(values),
    }


def sample_std(values: Sequence[float]) -> float:
    """Square root of sum((x - mean)^2) / (n - 1); 0.0 of fewer than two values."""
    n = len(values)
    if n < 2:
        return 0.0
    mean = math.fsum(values) / n
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))


def spread_of_fields(rollouts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """`mean/<field>`, `max/<field>`, ... over the rollouts that hold the field, fields in order of first appearance."""
    columns: dict[str, list[float]] = {}
    for rollout in rollouts:
        for field, value in rollout.items():
            columns.setdefault(field, []).append(value)
    return {f"{name}/{field}": value for field, values in columns.items() for name, value in spread(values).items()}
