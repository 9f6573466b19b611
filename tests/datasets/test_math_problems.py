import json
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.datasets.math_problems import MathProblem, read_problems
from nemo_gym.errors import DataError

ASKED = [{"role": "user", "content": "6 * 7?"}]


def file_of(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_a_row_of_the_public_set_is_read_with_its_other_fields(tmp_path: Path) -> None:
    row = {"question": "How much?", "answer": "1,200 + 34\n#### 1,234", "split": "test"}
    assert list(read_problems(file_of(tmp_path, row))) == [
        MathProblem("How much?", "1234", row["answer"], None, {"split": "test"})
    ]


def test_rows_of_skyrl_and_verl_are_read_alike_and_keep_their_prompt(tmp_path: Path) -> None:
    spec = {"ground_truth": "42", "style": "rule"}
    rows = ({"prompt": ASKED, key: spec} for key in ("reward_spec", "reward_model"))
    assert (
        list(read_problems(file_of(tmp_path, *rows)))
        == [MathProblem("6 * 7?", "42", "", ASKED, {"reward_spec": spec})] * 2
    )


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"answer": "#### 7"}, "neither `question`"),
        ({"question": "How many?"}, "`answer` is missing"),
        ({"question": "", "answer": "#### 7"}, "`question` is no text"),
        ({"question": "How many?", "answer": "7"}, "`answer` does not end in `#### number`"),
        ({"question": "How many?", "answer": "#### many"}, "'many' is no number"),
        ({"prompt": ASKED}, "`reward_spec.ground_truth` is missing"),
        ({"prompt": ASKED, "reward_spec": {"ground_truth": 42}}, "`reward_spec.ground_truth` is no text"),
        ({"prompt": "6 * 7?", "reward_spec": {"ground_truth": "42"}}, "`prompt` is no list of messages"),
        ([], "list"),
    ],
)
def test_the_first_row_that_is_neither_is_named_with_its_line(tmp_path: Path, row: Any, problem: str) -> None:
    good = {"question": "How many?", "answer": "#### 7"}
    problems = read_problems(file_of(tmp_path, good, row))
    assert next(problems).answer == "7"
    with pytest.raises(DataError, match=r"rows\.jsonl:2: ") as raised:
        next(problems)
    assert problem in str(raised.value)


def test_a_parquet_file_is_read_or_the_missing_package_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    try:
        from pyarrow import Table, parquet
    except ImportError:
        with pytest.raises(DataError, match="pip install pyarrow"):
            list(read_problems(path))
        return
    parquet.write_table(Table.from_pylist([{"prompt": ASKED, "reward_spec": {"ground_truth": "42"}}]), path)
    [problem] = read_problems(path)
    assert (problem.answer, problem.prompt) == ("42", ASKED)
