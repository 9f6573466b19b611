"""Questions of public sets: NQ and HotpotQA as Search-R1, SkyRL and FlashRAG publish them, from a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nemo_gym.datasets.public_file import numbered_rows
from nemo_gym.errors import DataError
from nemo_gym.schemas.validation import explain
from resources_servers.search.task import SearchTask


@dataclass(frozen=True)
class PublicQuestion:
    """One question with its answers."""

    text: str
    answers: list[str]
    prompt: list[dict[str, Any]] | None = None
    """The messages that the file asks it with; None: it has none."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Other fields of the file's row, `data_source` among them."""


def read_questions(path: Path) -> Iterator[PublicQuestion]:
    """The questions of a `.jsonl` or `.parquet` file, one by one.

    A row holds `question` or `prompt` (messages), and its answers in `golden_answers`, `answer`,
    `reward_model.ground_truth.target` (Search-R1) or `reward_spec.ground_truth.target` (SkyRL).
    Raises `DataError` with the line (of a parquet file the row, from 1) for the first that does not.
    """
    for number, row in numbered_rows(path):
        try:
            yield _question(row)
        except ValidationError as error:
            raise DataError(str(path), number, "; ".join(explain(error)[:3])) from error
        except ValueError as error:
            raise DataError(str(path), number, str(error)) from error


def _question(row: dict[str, Any]) -> PublicQuestion:
    known = {"expected_answer": row["answer"]} if isinstance(row.get("answer"), str | list) else {}
    answers = SearchTask.model_validate({**known, **row}).accepted_answers
    prompt = _prompt(row.get("prompt"))
    extra = row.get("extra_info")
    candidates = (row.get("question"), extra.get("question") if isinstance(extra, dict) else None)
    text = next((one for one in candidates if isinstance(one, str) and one.strip()), None)
    if text is None:
        if prompt is None:
            raise ValueError("neither `question` nor `prompt` (a list of messages) is in this row")
        text = prompt[-1]["content"].rpartition("Question:")[2].strip()
    rest = {key: value for key, value in row.items() if key not in ("prompt", "question")}
    return PublicQuestion(text.strip(), answers, prompt, rest)


def _prompt(value: object) -> list[dict[str, Any]] | None:
    if value is None:
        return None
    messages = value if isinstance(value, list) else []
    if not messages or not all(_is_message(message) for message in messages):
        raise ValueError("`prompt` is no list of messages with `role` and `content`")
    return messages


def _is_message(message: object) -> bool:
    return isinstance(message, dict) and all(isinstance(message.get(key), str) for key in ("role", "content"))
