"""A list that grows without being copied, while every earlier state of it stays readable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Growing(Generic[T]):
    """A sequence that is never changed. `plus` costs as much as what is added, at the end that was reached last."""

    __slots__ = ("_length", "_shared")

    def __init__(self, values: Iterable[T] = ()) -> None:
        self._shared = list(values)
        self._length = len(self._shared)

    def __len__(self) -> int:
        return self._length

    def plus(self, more: Iterable[T]) -> Growing[T]:
        """This and `more` after it. Only where something else was added here before is a copy made."""
        longer: Growing[T] = Growing()
        longer._shared = self._shared if len(self._shared) == self._length else self._shared[: self._length]
        longer._shared.extend(more)
        longer._length = len(longer._shared)
        return longer

    def until(self, end: int) -> list[T]:
        """A copy of the first `end` values."""
        return self._shared[: min(end, self._length)]

    def since(self, start: int) -> list[T]:
        """A copy of the values from `start` on."""
        return self._shared[start : self._length]
