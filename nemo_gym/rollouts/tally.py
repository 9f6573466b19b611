"""The tally of a collection: requested = completed + failed(class) + not run, at any moment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """How a collection stands. Made by the store, read by progress, summary and exit code."""

    requested: int
    completed: int = 0
    """Rollouts with a result, those of earlier runs that were resumed included."""
    failed: Counter[str] = field(default_factory=Counter)
    """Rollouts without a result whose latest attempt failed, by failure class."""
    failed_in_a_row: int = 0
    """Attempts that failed since the last one that did not."""
    last_failure: str = ""
    """Class and text of the latest failure."""
    reward_sum: float = 0.0
    """Over all completed rollouts."""

    @property
    def num_failed(self) -> int:
        return self.failed.total()

    @property
    def not_run(self) -> int:
        return self.requested - self.completed - self.num_failed

    @property
    def mean_reward(self) -> float | None:
        """None as long as nothing is completed."""
        return self.reward_sum / self.completed if self.completed else None

    def failures_text(self) -> str:
        """`model_error 2, timeout 1`, the most frequent first; empty if there are none."""
        return ", ".join(f"{name} {count}" for name, count in self.failed.copy().most_common() if count)

    def __str__(self) -> str:
        """`requested 20 = completed 17 + failed 2 (model_error 1, timeout 1) + not run 1`"""
        classes = f" ({self.failures_text()})" if self.num_failed else ""
        not_run = f" + not run {self.not_run}" if self.not_run else ""
        return f"requested {self.requested} = completed {self.completed} + failed {self.num_failed}{classes}{not_run}"
