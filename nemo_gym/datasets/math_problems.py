"""Math word problems whose answer is one number: the public GSM8K, and SkyRL's and verl's rows of it, from a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nemo_gym.datasets.public_file import numbered_rows
from nemo_gym.errors import DataError
from nemo_gym.parsers.numbers import parse_number

MARK = "####"


@dataclass(frozen=True)
class MathProblem:
    """One problem. Made by `read_problems` and by `word_problems.make_problem`, read by `prepare.py` files."""

    question: str
    answer: str
    """The number alone, without commas: `1234`."""
    solution: str = ""
    """Worked, ending in `#### answer`; `""` where none is known."""
    prompt: list[dict[str, Any]] | None = None
    """The messages that the file asks the question with; None: the reader words them."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Other fields of the file's row."""


def read_problems(path: Path) -> Iterator[MathProblem]:
    """The problems of a `.jsonl` or `.parquet` file, one by one.

    A row is GSM8K's own, `{"question", "answer"}` with a worked answer that ends in `#### 72`, or SkyRL's,
    `{"prompt", "reward_spec": {"ground_truth"}, "extra_info"}` (verl calls it `reward_model`).
    Raises `DataError` with the line (of a parquet file the row, from 1) for the first that is neither.
    """
    for number, row in numbered_rows(path):
        try:
            yield _problem(row)
        except ValueError as error:
            raise DataError(str(path), number, str(error)) from error


def _problem(row: dict[str, Any]) -> MathProblem:
    if "question" in row:
        return _public_problem(row)
    if "prompt" in row:
        return _prompted_problem(row)
    raise ValueError("neither `question` and `answer` (GSM8K) nor `prompt` and `reward_spec` (SkyRL) are in this row")


def _public_problem(row: dict[str, Any]) -> MathProblem:
    question, solution = _text(row, "question"), _text(row, "answer")
    _, mark, answer = solution.rpartition(MARK)
    if not mark:
        raise ValueError(f"`answer` does not end in `{MARK} number`")
    rest = {key: value for key, value in row.items() if key not in ("question", "answer")}
    return MathProblem(question, _number(answer, "answer"), solution, fields=rest)


def _prompted_problem(row: dict[str, Any]) -> MathProblem:
    spec = row.get("reward_spec", row.get("reward_model"))
    if not isinstance(spec, dict) or "ground_truth" not in spec:
        raise ValueError("`reward_spec.ground_truth` is missing")
    answer = _number(_text(spec, "ground_truth", "reward_spec.ground_truth"), "reward_spec.ground_truth")
    prompt = row["prompt"]
    if not isinstance(prompt, list) or not prompt or not all(_is_message(message) for message in prompt):
        raise ValueError("`prompt` is no list of messages with `role` and `content`")
    extra = row.get("extra_info")
    known = extra if isinstance(extra, dict) else {}
    question = known.get("question", prompt[-1]["content"])
    solution = known.get("answer", "")
    rest = {key: value for key, value in row.items() if key not in ("prompt", "reward_model")} | {"reward_spec": spec}
    return MathProblem(str(question), answer, str(solution), prompt, rest)


def _is_message(message: object) -> bool:
    return isinstance(message, dict) and all(isinstance(message.get(key), str) for key in ("role", "content"))


def _text(row: dict[str, Any], key: str, place: str = "") -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"`{place or key}` is {'missing' if value is None else 'no text'}")
    return value


def _number(text: str, place: str) -> str:
    if parse_number(text) is None:
        raise ValueError(f"`{place}`: {text.strip()[:40]!r} is no number")
    return text.strip().replace(",", "").replace("$", "")
