"""The mean of a stream of numbers, to the last digit or two, in memory that does not grow with it."""

from __future__ import annotations


class RunningMean:
    """Takes numbers one by one."""

    __slots__ = ("_lost", "_sum", "count")

    def __init__(self) -> None:
        self.count = 0
        self._sum = self._lost = 0.0

    def add(self, value: float) -> None:
        """`value` is finite."""
        self.count += 1
        total = self._sum + value
        # What the addition rounded away, kept beside the sum: Neumaier, ZAMM 54 (1974).
        self._lost += (self._sum - total) + value if abs(self._sum) >= abs(value) else (value - total) + self._sum
        self._sum = total

    def mean(self) -> float:
        """Of at least one number."""
        if not self.count:
            raise ValueError("no values: their mean is not defined")
        return (self._sum + self._lost) / self.count
