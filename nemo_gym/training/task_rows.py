"""Task rows on their way through a trainer's own dataset, and back to the servers.

Trainers keep their data as tables, whose columns have one type each and in which a prompt is a list of chat messages.
A task row of ours has whatever fields its environment needs, so it travels there as JSON text, in one column.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nemo_gym.errors import DataError
from nemo_gym.rollouts.rows import TaskRow, structure_problem
from nemo_gym.schemas.rollout import AGENT_REF

TASK_ROW = "task_row"
"""The column that holds the row."""

RENAMED = {"max_tokens": "max_output_tokens"}
"""Engines' sampling parameters that the Responses API calls otherwise."""
OF_THE_ENGINE = frozenset({"n", "logprobs", "min_tokens", "skip_special_tokens", "include_stop_str_in_output"})
"""Sampling parameters that say how a trainer reads its engine's answers: model servers here have their own say."""
OFF: Mapping[str, object] = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""What turns a sampling extra off: the same as leaving it out, which every engine understands."""


def dataset_row(row: TaskRow, **columns: Any) -> dict[str, Any]:
    """A row of a trainer's dataset: `prompt`, the messages, by which trainers measure length; the task row; `columns`.

    Raises `DataError` where it is no task row.
    """
    problem = structure_problem(row)
    if problem is not None:
        raise DataError("task row", None, problem)
    return {"prompt": _messages(row), **columns, TASK_ROW: json.dumps(row)}


def task_row_of(fields: Mapping[str, Any], index: int, *, agent_name: str | None = None) -> TaskRow:
    """The task row in a dataset row's fields, for `agent_name` where it names no agent itself.

    Raises `DataError`, naming the `index` in the batch, where there is none.
    """
    text = fields.get(TASK_ROW)
    try:
        row = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        row = None
    if not isinstance(row, dict):
        message = (
            f"its column `{TASK_ROW}` holds no task row as JSON text; make the dataset with "
            "`nemo_gym.training.task_rows.dataset_row`"
        )
        raise DataError("the trainer's batch", index, message)
    if agent_name is not None and not row.get(AGENT_REF):
        row[AGENT_REF] = {"type": "responses_api_agents", "name": agent_name}
    return row


def with_sampling(row: TaskRow, params: Mapping[str, Any]) -> TaskRow:
    """The row with a trainer's sampling parameters set over its own, under the names of the Responses API."""
    sampling = {
        RENAMED.get(name, name): value
        for name, value in params.items()
        if value is not None and name not in OF_THE_ENGINE and OFF.get(name) != value
    }
    return row | {"responses_create_params": row["responses_create_params"] | sampling}


def _messages(row: TaskRow) -> list[dict[str, str]]:
    """What the row says before the policy's first word, as chat messages of text."""
    params = row["responses_create_params"]
    items = params["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if params.get("instructions"):
        items = [{"role": "system", "content": params["instructions"]}, *items]
    return [{"role": str(item["role"]), "content": _text(item.get("content"))} for item in items if "role" in item]


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
