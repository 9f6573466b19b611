"""Reading task files: what is skipped, what is refused, and how the refusal reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemo_gym.errors import DataError
from nemo_gym.rollouts.rows import Problems, read_rows, unknown_agent

GOOD = b'{"responses_create_params": {"input": "hi"}}'


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(content)
    return path


def test_blank_lines_are_skipped_and_line_numbers_kept(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + b"\n\n  \n" + GOOD + b"\n" + GOOD)  # the last line lacks its end
    assert [line.number for line, _ in read_rows(path)] == [1, 4, 5]


def test_a_limit_reads_no_further(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + b"\nnot JSON\n")
    assert len(list(read_rows(path, limit=1))) == 1
    assert list(read_rows(path, limit=0)) == []


def test_unknown_fields_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path, b'{"responses_create_params": {"input": [], "x": 1}, "truth": {"a": [1]}}')
    assert [row for _, row in read_rows(path)] == [
        {"responses_create_params": {"input": [], "x": 1}, "truth": {"a": [1]}}
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{oops", "no JSON"),
        (b'{"responses_create_params": {"input": "\xff"}}', "no JSON"),
        (b"[1, 2]", "a list where a task row was expected"),
        (b'"text"', "text where a task row was expected"),
        (b"{}", "no `responses_create_params`"),
        (b'{"messages": [{"role": "user", "content": "hi"}]}', "move `messages` to `responses_create_params.input`"),
        (b'{"responses_create_params": "hi"}', "`responses_create_params` is text; it must be an object"),
        (b'{"responses_create_params": {}}', "has no `input`"),
        (b'{"responses_create_params": {"messages": []}}', "the Responses API calls them `input`"),
        (b'{"responses_create_params": {"input": 3}}', "`responses_create_params.input` is a number"),
        (b'{"responses_create_params": {"input": ["hi"]}}', "`responses_create_params.input[0]` is text"),
        (b'{"responses_create_params": {"input": "hi", "tools": {}}}', "`responses_create_params.tools` is an object"),
        (b'{"responses_create_params": {"input": "hi"}, "agent_ref": "x"}', "`agent_ref` must look like"),
        (GOOD + b"\r", "convert the file to LF"),
        (b"\xef\xbb\xbf" + GOOD, "byte order mark"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_and_the_way_to_mend_it(tmp_path: Path, line: bytes, says: str) -> None:
    path = write(tmp_path, GOOD + b"\n" + line + b"\n")
    with pytest.raises(DataError) as caught:
        list(read_rows(path))
    assert says in str(caught.value)
    assert caught.value.line == 2
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.jsonl", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            list(read_rows(path))


def told(*messages: str) -> list[str]:
    """The lines that users read when the rows of a file have these problems, one after another."""
    problems = Problems(Path("tasks.jsonl"))
    for number, message in enumerate(messages, start=1):
        problems.add(DataError("tasks.jsonl", number, message))
    with pytest.raises(DataError) as caught:
        problems.raise_if_any()
    return str(caught.value).splitlines()


def test_many_problems_are_told_together_in_few_lines() -> None:
    lines = told(*(f"bad in way {number}" for number in range(1, 101)))
    assert lines[0] == "tasks.jsonl: 100 bad rows, nothing was run"
    assert lines[1] == "  line 1: bad in way 1"
    assert lines[-1] == "  and 92 more"
    assert len(lines) <= 10


def test_a_problem_of_many_rows_is_told_once_with_their_lines() -> None:
    assert told("bad", "worse", "bad", "bad", "worse", "bad", "bad")[1:] == [
        "  lines 1, 3, 4 and 2 more: bad",
        "  lines 2 and 5: worse",
    ]


def test_a_misspelt_file_comes_with_the_nearest_beside_it(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    with pytest.raises(DataError, match=r"task\.jsonl: .* no such file; did you mean `tasks.jsonl`"):
        list(read_rows(tmp_path / "task.jsonl"))


def test_an_unknown_agent_is_told_the_nearest_right_name() -> None:
    assert "did you mean `calendar_simple_agent`?" in unknown_agent("calender_simple_agent", ["calendar_simple_agent"])
    assert "no running agents" in unknown_agent("x", [])
