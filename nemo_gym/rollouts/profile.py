"""A reward profile: how hard each task is for a policy, from the rollouts collected so far."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from nemo_gym.errors import DataError
from nemo_gym.rollouts.files import CollectionFiles, write_whole
from nemo_gym.rollouts.result_line import ResultLine
from nemo_gym.rollouts.rows import TaskRow, parse_row, read_lines
from nemo_gym.schemas.rollout import ATTEMPT_INDEX, ROLLOUT_ID, ROLLOUT_INDEX, TASK_INDEX

PROFILE = "reward_profile"
"""Key under which a written row carries its task's profile."""
_OF_ONE_ROLLOUT = (ROLLOUT_INDEX, ROLLOUT_ID, ATTEMPT_INDEX)


class Solved(StrEnum):
    """How often a task's rollouts passed."""

    ALWAYS = "always"
    SOMETIMES = "sometimes"
    NEVER = "never"


@dataclass
class TaskProfile:
    """The rewards of one task's rollouts, without keeping them."""

    num_rollouts: int = 0
    num_passed: int = 0
    mean: float = 0.0
    min: float = math.inf
    max: float = -math.inf
    _squares: float = 0.0

    def add(self, reward: float, *, passed: bool) -> None:
        self.num_rollouts += 1
        self.num_passed += passed
        delta = reward - self.mean
        self.mean += delta / self.num_rollouts
        self._squares += delta * (reward - self.mean)
        self.min, self.max = min(self.min, reward), max(self.max, reward)

    @property
    def std(self) -> float:
        """Sample standard deviation (n - 1); 0.0 of a single rollout."""
        return math.sqrt(self._squares / (self.num_rollouts - 1)) if self.num_rollouts > 1 else 0.0

    @property
    def pass_rate(self) -> float:
        """Share of the rollouts that passed, 0 to 1."""
        return self.num_passed / self.num_rollouts

    @property
    def solved(self) -> Solved:
        if self.num_passed == self.num_rollouts:
            return Solved.ALWAYS
        return Solved.SOMETIMES if self.num_passed else Solved.NEVER

    def figures(self) -> dict[str, Any]:
        """As it is written into a row."""
        return {
            "num_rollouts": self.num_rollouts,
            "num_passed": self.num_passed,
            "pass_rate": self.pass_rate,
            "mean": self.mean,
            "std": self.std,
            "min": self.min,
            "max": self.max,
        }


@dataclass(frozen=True)
class TaskFilter:
    """Which tasks to keep. The bounds are inclusive."""

    solved: frozenset[Solved] = frozenset(Solved)
    min_mean_reward: float = -math.inf
    max_mean_reward: float = math.inf
    min_rollouts: int = 1
    """Tasks with fewer rollouts say too little."""

    def keeps(self, task: TaskProfile) -> bool:
        return (
            task.solved in self.solved
            and self.min_mean_reward <= task.mean <= self.max_mean_reward
            and task.num_rollouts >= self.min_rollouts
        )


@dataclass
class RewardProfile:
    """What a profile came to."""

    num_tasks: int = 0
    """Tasks of the inputs file."""
    num_rollouts: int = 0
    mean_reward: float = 0.0
    """Over all rollouts."""
    solved: dict[Solved, int] = field(default_factory=lambda: dict.fromkeys(Solved, 0))
    """Tasks with rollouts, by how often they passed."""
    by_quarter: list[int] = field(default_factory=lambda: [0] * 4)
    """Those that pass sometimes, by pass rate: above 0 to 1/4, to 1/2, to 3/4, below 1."""
    num_without_rollouts: int = 0
    num_written: int = 0


def profile_rewards(
    rollouts: Path,
    output: Path,
    *,
    inputs: Path | None = None,
    pass_threshold: float = 1.0,
    keep: TaskFilter | None = None,
) -> RewardProfile:
    """Write the task rows that `keep` lets through, each with its `reward_profile`, in order of task.

    `rollouts` is a results file, `inputs` its materialized inputs (by default the file beside it); a rollout passes
    with a reward of at least `pass_threshold`. Both may still be written to: a torn last line is left out. Memory
    grows with the number of tasks only. Raises `DataError` where the files are none or do not belong together.
    """
    inputs = inputs or CollectionFiles(rollouts).inputs
    if output.resolve() in {rollouts.resolve(), inputs.resolve()}:
        raise DataError(str(output), None, "is read and would be written over; give another +output_jsonl_fpath")
    keep = keep or TaskFilter()
    tasks = _profiles(rollouts, pass_threshold)
    summary = RewardProfile()
    write_whole(output, _kept_rows(inputs, tasks, keep, summary))
    return summary


def _profiles(rollouts: Path, pass_threshold: float) -> dict[int, TaskProfile]:
    tasks: dict[int, TaskProfile] = {}
    for number, line in _whole_lines(rollouts):
        result = ResultLine.read(rollouts, number, line)
        tasks.setdefault(result.task, TaskProfile()).add(result.reward, passed=result.reward >= pass_threshold)
    return tasks


def _kept_rows(
    inputs: Path, tasks: Mapping[int, TaskProfile], keep: TaskFilter, summary: RewardProfile
) -> Iterator[bytes]:
    for row in _task_rows(inputs):
        summary.num_tasks += 1
        task = tasks.get(row[TASK_INDEX])
        if task is None:
            summary.num_without_rollouts += 1
            continue
        summary.num_rollouts += task.num_rollouts
        summary.mean_reward += (task.mean - summary.mean_reward) * task.num_rollouts / summary.num_rollouts
        summary.solved[task.solved] += 1
        if task.solved is Solved.SOMETIMES:
            summary.by_quarter[(4 * task.num_passed - 1) // task.num_rollouts] += 1
        if keep.keeps(task):
            summary.num_written += 1
            kept = {key: value for key, value in row.items() if key not in _OF_ONE_ROLLOUT}
            yield orjson.dumps(kept | {PROFILE: task.figures()}) + b"\n"
    strange = tasks.keys() - range(summary.num_tasks)
    if strange:
        message = f"has no task {min(strange)}, of which there are rollouts: they are of another collection"
        raise DataError(str(inputs), None, message)


def _task_rows(inputs: Path) -> Iterator[TaskRow]:
    """The first of each task's rows; those of its repeats follow it and are the same."""
    next_task = 0
    for line in read_lines(inputs):
        row = parse_row(inputs, line)
        task = row.get(TASK_INDEX)
        if task == next_task:
            next_task += 1
            yield row
        elif task != next_task - 1:
            raise DataError(str(inputs), line.number, "is no row of materialized inputs: its task is out of order")


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that have their end: the last one may be just being written."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n") and line.strip():
                    yield number, line.removesuffix(b"\n")
    except OSError as error:
        raise DataError(str(path), None, f"cannot be read: {error.strerror}") from error
