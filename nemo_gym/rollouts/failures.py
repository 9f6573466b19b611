"""Failures as users are told of them: which class, how many, and what one of them says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from nemo_gym.schemas.rollout import FAILURE, FAILURE_CLASS, TASK_INDEX

_MESSAGE_LENGTH = 300


@dataclass(frozen=True)
class FailureExample:
    """The failures of one class, with what one of them says."""

    failure_class: str
    count: int
    example: str
    """As `told()` has it."""

    def __str__(self) -> str:
        return f"{self.count} {self.failure_class}, as in {self.example}"


def failure_examples(path: Path) -> list[FailureExample]:
    """The failures in a failures file by class, the most frequent first."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    with path.open("rb") as file:
        for line in file:
            failed = orjson.loads(line)
            name = str(failed[FAILURE_CLASS])
            counts[name] += 1
            if name not in examples:
                examples[name] = told(failed)
    return [FailureExample(name, count, examples[name]) for name, count in counts.most_common()]


def told(failed: Mapping[str, Any]) -> str:
    """`task 3 (stage model, server policy_model): HTTP 401: ...`: one failed rollout in a line."""
    failure = failed.get(FAILURE) or {}
    where = ", ".join(f"{key} {failure[key]}" for key in ("stage", "server") if failure.get(key))
    message = " ".join(str(failure.get("message", "")).split())
    if len(message) > _MESSAGE_LENGTH:
        message = message[: _MESSAGE_LENGTH - 1] + "…"
    return f"task {failed.get(TASK_INDEX, '?')}{f' ({where})' if where else ''}: {message}"
