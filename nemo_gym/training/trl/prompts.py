"""Prompts that carry their task row, from the dataset to the rollout.

TRL hands a rollout function nothing but prompts. Keys of messages that it does not know stay where they are, through
Arrow, the collator and the sampler, so the last message carries the row as JSON text, under `task_row`. Text, not an
object: Arrow would give every row the keys of all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import orjson
from datasets import Dataset

from nemo_gym.converters import to_chat_messages
from nemo_gym.errors import DataError
from nemo_gym.rollouts.rows import TaskRow, structure_problem
from nemo_gym.schemas.responses import ResponseCreateParams
from nemo_gym.training.rollouts import with_agent
from nemo_gym.training.task_rows import TASK_ROW

Message: TypeAlias = dict[str, Any]
Prompt: TypeAlias = str | list[Message]


def dataset_of(rows: Iterable[TaskRow], *, agent: str | None = None) -> Dataset:
    """A dataset with the column `prompt`: each row's request as chat messages that carry the row.

    `agent` plays the rows that name none. Raises `DataError`, naming the index, for what is no task row, and
    `ConversionError` for a request that chat messages cannot say.
    """
    checked = [_checked(row, index) for index, row in enumerate(rows)]
    named = [with_agent(row, agent) if agent else row for row in checked]
    return Dataset.from_list([{"prompt": prompt_of(row)} for row in named])


def carrying(dataset: Dataset) -> Dataset:
    """A dataset whose rows stand in a column `task_row` (`training.task_rows.dataset_row`), with prompts that carry
    them; any other dataset as it is."""
    if TASK_ROW not in (getattr(dataset, "column_names", None) or ()):
        return dataset
    return dataset.map(lambda one: {"prompt": [*one["prompt"][:-1], {**one["prompt"][-1], TASK_ROW: one[TASK_ROW]}]})


def prompt_of(row: TaskRow) -> list[Message]:
    """The row's request as chat messages, the last of which carries the row."""
    params = ResponseCreateParams.model_validate(row["responses_create_params"])
    messages = to_chat_messages(params.input, instructions=params.instructions)
    plain = [_plain(message.model_dump(mode="json", exclude_none=True)) for message in messages]
    return with_task_row(plain, row)


def with_task_row(messages: Sequence[Message], row: TaskRow) -> list[Message]:
    """Messages of one's own making that carry this row."""
    return [*messages[:-1], {**messages[-1], TASK_ROW: orjson.dumps(row).decode()}]


def task_row_of(prompt: Prompt) -> TaskRow | None:
    """The row that a prompt carries; None where it carries none, as all prompts that are text."""
    carried = [] if isinstance(prompt, str) else [message.get(TASK_ROW) for message in prompt]
    text = next((one for one in reversed(carried) if one), None)
    if text is None:
        return None
    row: TaskRow = orjson.loads(text)
    return row


def without_task_row(prompt: Prompt) -> Prompt:
    """The prompt as a chat template is to see it."""
    if isinstance(prompt, str):
        return prompt
    return [{key: value for key, value in message.items() if key != TASK_ROW} for message in prompt]


def _checked(row: TaskRow, index: int) -> TaskRow:
    if (problem := structure_problem(row)) is not None:
        raise DataError("rows", index, problem)
    return row


def _plain(message: Message) -> Message:
    """Content that is text parts only as one text: Arrow holds either text or parts in a column."""
    content = message.get("content")
    if isinstance(content, list) and all("text" in part for part in content):
        return {**message, "content": "".join(part["text"] for part in content)}
    return message
