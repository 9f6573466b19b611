"""Mean, extremes, median and standard deviation of a stream of numbers, in memory that does not grow with it."""

from __future__ import annotations

import math
import random
from array import array

from nemo_gym.metrics.running_mean import RunningMean
from nemo_gym.metrics.spread import spread

SAMPLE_SIZE = 100_000


class RunningSpread:
    """Takes numbers one by one. All figures are exact, except the median of more than `sample_size` numbers, which is
    that of a uniform sample of so many of them (the same at every run)."""

    def __init__(self, sample_size: int = SAMPLE_SIZE) -> None:
        self.count = 0
        self._mean = self._squares = 0.0
        self._exact_mean = RunningMean()
        self._min, self._max = math.inf, -math.inf
        self._sample = array("d")
        self._sample_size = sample_size
        self._rng = random.Random(0)

    def add(self, value: float) -> None:
        """`value` is finite."""
        self.count += 1
        self._exact_mean.add(value)
        delta = value - self._mean
        self._mean += delta / self.count
        self._squares += delta * (value - self._mean)  # Welford, Technometrics 4 (1962)
        self._min, self._max = min(self._min, value), max(self._max, value)
        if len(self._sample) < self._sample_size:
            self._sample.append(value)
        elif (place := self._rng.randrange(self.count)) < self._sample_size:
            self._sample[place] = value

    def spread(self) -> dict[str, float]:
        """`mean`, `max`, `min`, `median` and `std` (n - 1 in the denominator; 0.0 of a single number)."""
        if self.count <= self._sample_size:
            return spread(self._sample)
        ordered = sorted(self._sample)
        middle = len(ordered) // 2
        median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
        return {
            "mean": min(max(self._exact_mean.mean(), self._min), self._max),
            "max": self._max,
            "min": self._min,
            "median": median,
            "std": math.sqrt(self._squares / (self.count - 1)),
        }
