import json
from pathlib import Path

import pytest

from nemo_gym.prepare import make_rows, run_prepare
from resources_servers.gsm8k.prepare import EXAMPLE, convert, make_row
from resources_servers.gsm8k.verifier import grade_answer

PUBLIC = {"question": "Half of 48 clips?", "answer": "48/2 = <<48/2=24>>24.\n#### 24"}
SKYRL = {
    "data_source": "openai/gsm8k",
    "prompt": [{"role": "user", "content": "Half of 48 clips? End with ####."}],
    "env_class": "gsm8k",
    "reward_spec": {"method": "rule", "ground_truth": "24"},
    "extra_info": {"index": 0, "question": PUBLIC["question"], "answer": PUBLIC["answer"]},
}


def test_the_solution_of_every_row_is_right_also_by_the_strict_rule() -> None:
    for row in make_rows(make_row, num_rows=300, seed=3):
        assert grade_answer(row["solution"], row["expected_answer"]).correct
        assert grade_answer(row["solution"], row["expected_answer"], strict_skyrl=True).correct


def test_the_public_set_and_skyrl_rows_are_converted(tmp_path: Path) -> None:
    source, output = tmp_path / "train.jsonl", tmp_path / "out" / "rows.jsonl"
    source.write_text(f"{json.dumps(PUBLIC)}\n\n{json.dumps(SKYRL)}\n")
    said = run_prepare(make_row, EXAMPLE, ["--input", str(source), "--output", str(output)], convert=convert)
    assert said == f"2 rows written to {output}"
    public, skyrl = (json.loads(line) for line in output.read_text().splitlines())
    assert public["responses_create_params"]["input"][0]["content"].startswith("Half of 48 clips?\n\nThink")
    assert (public["expected_answer"], public["solution"]) == ("24", PUBLIC["answer"])
    assert skyrl["responses_create_params"]["input"] == SKYRL["prompt"]
    assert (skyrl["expected_answer"], skyrl["reward_spec"]) == ("24", SKYRL["reward_spec"])
    assert skyrl["env_class"] == "gsm8k"


def test_a_line_that_cannot_be_used_is_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "train.jsonl", tmp_path / "rows.jsonl"
    source.write_text(f'{json.dumps(PUBLIC)}\n{{"question": "How many?", "answer": "Many."}}\n')
    with pytest.raises(SystemExit) as raised:
        run_prepare(make_row, EXAMPLE, ["--input", str(source), "--output", str(output)], convert=convert)
    assert raised.value.code == 2
    assert f"{source}:2: `answer` does not end in `#### number`" in capsys.readouterr().err
    assert not output.exists()


def test_the_example_is_not_overwritten_by_converted_rows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_prepare(make_row, EXAMPLE, ["--input", "train.jsonl"], convert=convert)
    assert "--input needs --output" in capsys.readouterr().err
