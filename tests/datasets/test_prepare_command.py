"""`ng_prepare_data` as users meet it: what it writes, what it refuses, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.cli.prepare_data import prepare_data
from nemo_gym.config.places import INSTALL_ROOT
from nemo_gym.errors import ConfigError, DataError
from tests.rows import row_asking

Write = Callable[[str, list[Any]], Path]

CONFIG = f"""\
maze:
  resources_servers:
    calendar: {{entrypoint: app.py}}
maze_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {{type: resources_servers, name: maze}}
      model_server: {{type: responses_api_models, name: policy_model}}
      datasets:
      - {{name: mazes, type: train, jsonl_fpath: mazes.jsonl, num_repeats: 2, license: Apache-2.0}}
      - {{name: more, type: train, jsonl_fpath: more.jsonl}}
      - {{name: held_out, type: validation, jsonl_fpath: held_out.jsonl}}
policy_model:
  responses_api_models:
    scripted_model: {{entrypoint: app.py}}
config_paths: []
install: {INSTALL_ROOT}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a task file into the working directory, whose rows are objects or raw text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maze.yaml").write_text(CONFIG)

    def write(name: str, rows: list[Any]) -> Path:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
        return tmp_path / name

    return write


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def questions(path: str) -> list[str]:
    return [row["responses_create_params"]["input"][0]["content"] for row in lines(path)]


def test_declared_datasets_become_a_file_per_kind_with_agent_and_repeats(write: Write):
    write("mazes.jsonl", [row_asking("a", tools=("go",), size=3), row_asking("b", size=5)])
    write("more.jsonl", [row_asking("c")])
    write("held_out.jsonl", [row_asking("d")])
    assert prepare_data(["+config_paths=[maze.yaml]", "+output_dirpath=out"]) == 0
    assert questions("out/train.jsonl") == ["a", "a", "b", "b", "c"]
    assert questions("out/validation.jsonl") == ["d"]
    assert all(row["agent_ref"]["name"] == "maze_agent" for row in lines("out/train.jsonl"))
    metrics = json.loads(Path("out/train_metrics.json").read_text())
    assert (metrics["num_tasks"], metrics["num_rows"]) == (3, 5)
    mazes, more = metrics["datasets"]
    assert mazes["name"] == "mazes" and mazes["license"] == "Apache-2.0" and mazes["num_tasks"] == 2
    assert mazes["tools"] == {"go": 1}
    assert [mazes[f"{name}/size"] for name in ("mean", "min", "max", "median")] == [4, 3, 5, 4]
    assert mazes["std/size"] == pytest.approx(2**0.5)
    assert more["num_tasks"] == 1 and "mean/size" not in more
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "train.jsonl",
        "train_metrics.json",
        "validation.jsonl",
        "validation_metrics.json",
    ]


def test_a_declared_prompt_makes_the_input_of_its_rows(write: Write, tmp_path: Path):
    (tmp_path / "ask.yaml").write_text("user: 'Which way out of {maze}?'\n")
    config = tmp_path / "maze.yaml"
    config.write_text(
        config.read_text().replace("jsonl_fpath: more.jsonl", "jsonl_fpath: more.jsonl, prompt_config: ask.yaml")
    )
    for name in ("mazes.jsonl", "held_out.jsonl"):
        write(name, [row_asking("a")])
    write("more.jsonl", [{"maze": "the cellar"}])
    assert prepare_data(["+config_paths=[maze.yaml]", "+output_dirpath=out"]) == 0
    assert questions("out/train.jsonl")[-1] == "Which way out of the cellar?"


def test_a_prompt_that_is_not_there_is_named_with_its_file(write: Write, tmp_path: Path):
    config = tmp_path / "maze.yaml"
    config.write_text(
        config.read_text().replace("jsonl_fpath: more.jsonl", "jsonl_fpath: more.jsonl, prompt_config: gone.yaml")
    )
    for name in ("mazes.jsonl", "held_out.jsonl", "more.jsonl"):
        write(name, [row_asking("a")])
    with pytest.raises(ConfigError, match=r"gone\.yaml: there is no such file"):
        prepare_data(["+config_paths=[maze.yaml]", "+output_dirpath=out"])


def test_a_file_can_be_prepared_without_a_configuration(write: Write):
    write("rows.jsonl", [row_asking("a"), {**row_asking("b"), "agent_ref": {"name": "other_agent"}}])
    argv = ["+input_jsonl_fpath=rows.jsonl", "+output_dirpath=out", "+agent_name=walker", "+num_repeats=2"]
    assert prepare_data([*argv, "+mode=example_validation"]) == 0
    names = [row["agent_ref"]["name"] for row in lines("out/example.jsonl")]
    assert names == ["walker", "walker", "other_agent", "other_agent"]


def test_bad_rows_are_named_with_their_lines_and_nothing_is_written(write: Write):
    write("rows.jsonl", [row_asking("a"), "{broken", {"messages": []}, row_asking("b"), {"messages": []}])
    with pytest.raises(DataError) as caught:
        prepare_data(["+input_jsonl_fpath=rows.jsonl", "+output_dirpath=out", "+agent_name=walker"])
    message = str(caught.value)
    assert message.startswith("out/bad_rows.jsonl: 3 of 5 rows are bad, nothing was written; +drop_bad_rows=true")
    assert "rows.jsonl:2: no JSON" in message
    assert "rows.jsonl:3, 5: a chat-format row; move `messages`" in message
    assert len(message.splitlines()) <= 10
    assert [each["line"] for each in lines("out/bad_rows.jsonl")] == [2, 3, 5]
    assert [path.name for path in Path("out").iterdir()] == ["bad_rows.jsonl"]


def test_however_many_rows_are_bad_the_message_fits_and_the_file_names_them_all(write: Write):
    write("rows.jsonl", [{**row_asking("a"), "agent_ref": {"name": index}} for index in range(30)] + ["x"] * 300)
    write("odd.jsonl", [{"responses_create_params": {"input": [{"type": f"t{index}"}]}} for index in range(50)])
    with pytest.raises(DataError) as caught:
        prepare_data(["+input_jsonl_fpath=[rows.jsonl,odd.jsonl]", "+output_dirpath=out", "+agent_name=walker"])
    assert len(str(caught.value).splitlines()) <= 10
    assert "380 of 380 rows" in str(caught.value)
    assert len(lines("out/bad_rows.jsonl")) == 380


def test_bad_rows_can_be_left_out_with_their_count(write: Write, capsys: pytest.CaptureFixture[str]):
    write("rows.jsonl", [row_asking("a"), "[1]", row_asking("b")])
    argv = ["+input_jsonl_fpath=rows.jsonl", "+output_dirpath=out", "+agent_name=walker", "+drop_bad_rows=true"]
    assert prepare_data(argv) == 0
    assert questions("out/train.jsonl") == ["a", "b"]
    said = capsys.readouterr()
    assert "1 bad rows left out\n  rows.jsonl:2: a list where a task row was expected" in said.err
    assert json.loads(Path("out/train_metrics.json").read_text())["datasets"][0]["num_dropped"] == 1
    write("rows.jsonl", [row_asking("a")])
    assert prepare_data(argv) == 0
    assert not Path("out/bad_rows.jsonl").exists(), "what is no longer true is gone"


def test_a_file_of_only_bad_rows_leaves_nothing_to_write(write: Write):
    write("rows.jsonl", ["x", "y"])
    with pytest.raises(DataError, match="all 2 rows are bad"):
        prepare_data(["+input_jsonl_fpath=rows.jsonl", "+output_dirpath=out", "+drop_bad_rows=true"])
    assert not Path("out/train.jsonl").exists()


def test_chat_rows_are_converted_when_asked(write: Write, capsys: pytest.CaptureFixture[str]):
    write("rows.jsonl", [{"messages": [{"role": "user", "content": "a"}], "answer": 1}, row_asking("b")])
    argv = ["+input_jsonl_fpath=rows.jsonl", "+output_dirpath=out", "+agent_name=walker", "+convert_chat=true"]
    assert prepare_data(argv) == 0
    assert questions("out/train.jsonl") == ["a", "b"]
    assert "1 chat-format rows converted" in capsys.readouterr().out


def test_a_seeded_shuffle_keeps_repeats_together_and_is_the_same_every_time(write: Write):
    write("rows.jsonl", [row_asking(str(number)) for number in range(50)])
    argv = ["+input_jsonl_fpath=rows.jsonl", "+agent_name=walker", "+num_repeats=2"]
    for folder, seed in (("one", 7), ("two", 7), ("three", 8)):
        assert prepare_data([*argv, f"+output_dirpath={folder}", f"+shuffle_seed={seed}"]) == 0
    first = questions("one/train.jsonl")
    assert first == questions("two/train.jsonl") != questions("three/train.jsonl")
    assert first[::2] == first[1::2] and sorted(map(int, first[::2])) == list(range(50))
    assert first[::2] != [str(number) for number in range(50)]


def test_rows_for_an_agent_that_is_not_configured_are_bad(write: Write):
    write("mazes.jsonl", [{**row_asking("a"), "agent_ref": {"name": "maze_agnet"}}])
    write("more.jsonl", [row_asking("c")])
    write("held_out.jsonl", [row_asking("d")])
    with pytest.raises(DataError, match="no agent `maze_agnet` is configured; did you mean `maze_agent`"):
        prepare_data(["+config_paths=[maze.yaml]", "+output_dirpath=out"])


def test_declared_files_that_are_not_there_are_all_named_since_nothing_is_downloaded(write: Write):
    write("more.jsonl", [row_asking("c")])
    with pytest.raises(ConfigError) as caught:
        prepare_data(["+config_paths=[maze.yaml]", "+output_dirpath=out", "+should_download=true"])
    first, second = str(caught.value).splitlines()
    place = "maze.yaml: `maze_agent.responses_api_agents.simple_agent.datasets[{}].jsonl_fpath`: there is no file"
    assert first.startswith(place.format(0)) and second.startswith(place.format(2))
    assert first.endswith("nothing is downloaded here: put it there")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "say what to prepare: \\+config_paths="),
        (["+config_paths=[maze.yaml]", "+mode=example_validation"], "of type `example`, there are only `train`"),
        (["+config_paths=[maze.yaml]", "+agent_name=mase_agent"], "did you mean `maze_agent`"),
        (["+config_paths=[maze.yaml]", "+drop_bad_row=true"], "did you mean `drop_bad_rows`"),
        (["+input_jsonl_fpath=rows.jsonl", "+mode=training"], "must be one of `train_preparation`"),
    ],
)
def test_a_wrong_command_line_says_what_to_write(write: Write, argv: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        prepare_data([*argv, "+output_dirpath=out"])


def test_a_file_is_never_written_over_itself(write: Write):
    path = write("train.jsonl", [row_asking("a")])
    before = path.read_bytes()
    with pytest.raises(DataError, match="is read and would be written over"):
        prepare_data(["+input_jsonl_fpath=train.jsonl", "+output_dirpath=.", "+agent_name=walker"])
    assert path.read_bytes() == before


def test_memory_stays_flat_with_the_number_of_rows(write: Write):
    import tracemalloc

    row = row_asking("a" * 2_000, size=1)
    write("small.jsonl", [row] * 200)
    write("large.jsonl", [row] * 4_000)
    peaks = []
    for name in ("small", "small", "large"):
        tracemalloc.start()
        argv = [f"+input_jsonl_fpath={name}.jsonl", f"+output_dirpath={name}", "+agent_name=walker"]
        assert prepare_data([*argv, "+shuffle_seed=1"]) == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 1_000_000, "8 MB more of rows"
