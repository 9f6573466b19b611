"""The rollouts that a collection has in flight: which one is the oldest, and how old."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from nemo_gym.rollouts.rows import TaskRow
from nemo_gym.schemas.rollout import ROLLOUT_INDEX, TASK_INDEX


class Ongoing:
    """Kept by what runs rollouts, in one thread; may be asked in another."""

    def __init__(self) -> None:
        self._begun: dict[object, tuple[float, TaskRow]] = {}

    @contextmanager
    def rollout(self, row: TaskRow) -> Iterator[None]:
        """Inside, the row is being run."""
        key = object()
        self._begun[key] = (time.monotonic(), row)
        try:
            yield
        finally:
            del self._begun[key]

    def oldest(self) -> tuple[str, float] | None:
        """`task 3, rollout 0` and the seconds since it was begun; None where nothing runs."""
        begun = list(self._begun.values())[:1]
        if not begun:
            return None
        [(began, row)] = begun
        return f"task {row.get(TASK_INDEX)}, rollout {row.get(ROLLOUT_INDEX)}", time.monotonic() - began
