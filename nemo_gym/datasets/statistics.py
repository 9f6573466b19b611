"""What is in a task file: how many rows, how long, with which tools, and the spread of every number."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from nemo_gym.datasets.row_check import PARAMS
from nemo_gym.metrics.fields import numeric_fields
from nemo_gym.metrics.running_spread import RunningSpread
from nemo_gym.rollouts.rows import TaskRow

MAX_FIELDS = 200
MAX_TOOL_NAMES = 1000
"""Rows that name a field or tool after each of them cannot make the memory grow without end."""


class DatasetStatistics:
    """Takes valid task rows one by one; its memory does not grow with their number."""

    def __init__(self) -> None:
        self.num_tasks = 0
        self._fields: dict[str, RunningSpread] = {}
        self._tools: Counter[str] = Counter()

    def add(self, row: TaskRow) -> None:
        self.num_tasks += 1
        params = row[PARAMS]
        tools = params.get("tools") or []
        items = params["input"] if isinstance(params["input"], list) else [{"content": params["input"]}]
        self._note("input_items", len(items))
        self._note("input_chars", sum(_length(item) for item in items) + len(params.get("instructions") or ""))
        self._note("num_tools", len(tools))
        for name in {str(tool.get("name") or tool.get("type")) for tool in tools}:
            if name in self._tools or len(self._tools) < MAX_TOOL_NAMES:
                self._tools[name] += 1
        for key, value in params.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                self._note(f"{PARAMS}/{key}", value)
        for field, number in numeric_fields(row).items():
            self._note(field, number)

    def figures(self) -> dict[str, Any]:
        """`num_tasks`; `tools`, rows by tool that they declare; `mean|max|min|median|std/<field>` of each number:
        `input_items`, `input_chars` (of text, in characters), `num_tools`, request parameters, the row's own fields.
        """
        found: dict[str, Any] = {"num_tasks": self.num_tasks, "tools": dict(self._tools.most_common())}
        for field, values in self._fields.items():
            found.update({f"{name}/{field}": value for name, value in values.spread().items()})
        return found

    def _note(self, field: str, value: float) -> None:
        if field in self._fields or len(self._fields) < MAX_FIELDS:
            self._fields.setdefault(field, RunningSpread()).add(float(value))


def _length(item: dict[str, Any]) -> int:
    """Characters of text in an item: of its content, its arguments, or what a tool answered."""
    total = 0
    for key in ("content", "arguments", "output", "summary"):
        value = item.get(key)
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, list):
            total += sum(len(str(part.get("text", ""))) for part in value if isinstance(part, dict))
    return total
