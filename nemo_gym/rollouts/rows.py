"""Task rows of a JSONL file, read lazily; what is none is refused with its line number and the way to mend it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from nemo_gym.config.nearest import suggestion
from nemo_gym.errors import DataError
from nemo_gym.prompt import PromptConfig, with_prompt
from nemo_gym.schemas.rollout import AGENT_REF

TaskRow = dict[str, Any]
"""One task: `responses_create_params` and whatever else its environment needs."""

MAX_PROBLEMS = 8
"""So many bad lines are listed; of the others only the number is told."""

CONVERT_CHAT = "`ng_prepare_data +convert_chat=true` converts it"

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Line:
    """One line of a JSONL file that is not blank."""

    number: int
    """Counted from 1, blank lines included."""
    text: bytes
    """Without its line end."""


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a file one by one, blank ones skipped. Raises `DataError` if the file cannot be read."""
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                if text.strip():
                    yield Line(number, text.removesuffix(b"\n"))
    except FileNotFoundError as error:
        nearby = [file.name for file in path.parent.glob("*.json*")]
        message = f"cannot be read: there is no such file; {suggestion(path.name, nearby, kind='JSON files there')}"
        raise DataError(str(path), None, message) from error
    except OSError as error:
        raise DataError(str(path), None, f"cannot be read: {error.strerror}") from error


def parse_object(path: Path, line: Line) -> dict[str, Any]:
    """The JSON object on a line. Raises `DataError` naming the line, what is wrong and what to do."""
    problem = _problem_of_text(line)
    if problem:
        raise DataError(str(path), line.number, problem)
    try:
        value = orjson.loads(line.text)
    except orjson.JSONDecodeError as error:
        raise DataError(str(path), line.number, f"no JSON: {error}; each line is one whole JSON object") from error
    if not isinstance(value, dict):
        message = f"{_kind(value)} where a task row was expected; each line is one JSON object"
        raise DataError(str(path), line.number, message)
    return value


def parse_row(path: Path, line: Line) -> TaskRow:
    """The task row on a line. Checks its structure only: an agent checks the whole when it gets it.

    Raises `DataError` naming the line, what is wrong and what to do.
    """
    row = parse_object(path, line)
    problem = structure_problem(row)
    if problem:
        raise DataError(str(path), line.number, problem)
    return row


def prompted_row(path: Path, line: Line, prompt: PromptConfig) -> TaskRow:
    """The task row that a line without input becomes by a prompt. Raises `DataError` as `parse_row` does."""
    try:
        row = with_prompt(prompt, parse_object(path, line))
    except DataError as error:
        if error.path == str(path):
            raise
        raise DataError(str(path), line.number, f"the prompt {error.message}") from error
    problem = structure_problem(row)
    if problem:
        raise DataError(str(path), line.number, problem)
    return row


def read_rows(path: Path, *, limit: int | None = None) -> Iterator[tuple[Line, TaskRow]]:
    """The first `limit` task rows of a file (default: all), lazily. Raises `DataError` at the first bad one."""
    if limit is not None and limit <= 0:
        return
    for count, line in enumerate(read_lines(path), start=1):
        yield line, parse_row(path, line)
        if count == limit:
            return


class Problems:
    """Bad lines of one file, collected so that they are told together, equal ones as one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[str, list[int | None]] = {}
        """The first lines with each problem."""
        self._count = self._untold = 0

    def add(self, error: DataError) -> None:
        self._count += 1
        if error.message not in self._lines and len(self._lines) == MAX_PROBLEMS:
            self._untold += 1
            return
        self._lines.setdefault(error.message, []).append(error.line)

    def raise_if_any(self) -> None:
        """Raise one `DataError` that lists the first problems; nothing happens if there are none."""
        if self._count == 1:
            [(message, [line])] = self._lines.items()
            raise DataError(str(self._path), line, message)
        if self._count:
            told = "\n".join(f"  {_lines_text(lines)}: {message}" for message, lines in self._lines.items())
            more = f"\n  and {self._untold} more" if self._untold else ""
            raise DataError(str(self._path), None, f"{self._count} bad rows, nothing was run\n{told}{more}")


def _lines_text(lines: Sequence[int | None]) -> str:
    """`line 3`, `lines 1, 2 and 7`, `lines 1, 2, 3 and 17 more`."""
    if len(lines) == 1:
        return f"line {lines[0]}"
    shown = [str(line) for line in lines[:3]]
    last = f"{len(lines) - 3} more" if len(lines) > 3 else shown.pop()
    return f"lines {', '.join(shown)} and {last}"


def agent_of(row: TaskRow) -> str | None:
    """The agent that the row itself names."""
    reference = row.get(AGENT_REF)
    return reference["name"] if reference else None


def unknown_agent(name: str, agents: Collection[str]) -> str:
    """What to tell someone who asked for an agent that is not running."""
    return f"no agent `{name}` is running; {suggestion(name, agents, kind='running agents')}"


def _problem_of_text(line: Line) -> str | None:
    if line.text.startswith(_BOM):
        return "the file starts with a byte order mark; save it as UTF-8 without BOM (`sed -i '1s/^\\xEF\\xBB\\xBF//'`)"
    if line.text.endswith(b"\r"):
        return "the line ends in CRLF; convert the file to LF (`sed -i 's/\\r$//'`)"
    return None


def structure_problem(row: dict[str, Any]) -> str | None:
    """What keeps an object from being a task row, and what to do; None if it has the structure of one."""
    params = row.get("responses_create_params")
    if params is None:
        if "messages" in row:
            return f"a chat-format row; move `messages` to `responses_create_params.input`; {CONVERT_CHAT}"
        return 'no `responses_create_params`; a row looks like {"responses_create_params": {"input": "..."}, ...}'
    if not isinstance(params, dict):
        return f"`responses_create_params` is {_kind(params)}; it must be an object"
    if "input" not in params:
        if "messages" in params:
            return f"`responses_create_params` holds `messages`; the Responses API calls them `input`; {CONVERT_CHAT}"
        return "`responses_create_params` has no `input` (text, or a list of items)"
    return _problem_of_input(params) or _problem_of_agent_ref(row)


def _problem_of_input(params: dict[str, Any]) -> str | None:
    given = params["input"]
    if not isinstance(given, str | list):
        return f"`responses_create_params.input` is {_kind(given)}; it must be text or a list of items"
    if isinstance(given, list):
        for index, item in enumerate(given):
            if not isinstance(item, dict):
                return f"`responses_create_params.input[{index}]` is {_kind(item)}; an item is an object"
    tools = params.get("tools")
    if tools is not None and not isinstance(tools, list):
        return f"`responses_create_params.tools` is {_kind(tools)}; it must be a list"
    return None


def _problem_of_agent_ref(row: dict[str, Any]) -> str | None:
    reference = row.get(AGENT_REF)
    if reference is None or (isinstance(reference, dict) and isinstance(reference.get("name"), str)):
        return None
    return '`agent_ref` must look like {"type": "responses_api_agents", "name": "<instance name>"}'


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
