"""`ng_collect_rollouts` as users run it: a real process, its exit code, Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

WriteRows = Callable[[list[dict[str, Any]]], Path]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(agent_url: str, tmp_path: Path) -> Start:
    """Starts the command against the tiny agent; arguments are added to the usual ones."""
    httpx.post(agent_url + "/set", json={"broken_metrics": False, "num_agents": 1})
    port = agent_url.rpartition(":")[2]

    def run(*arguments: str) -> subprocess.Popen[str]:
        usual = (f"+input_jsonl_fpath={tmp_path}/tasks.jsonl", f"+output_jsonl_fpath={tmp_path}/out.jsonl")
        return subprocess.Popen(
            [sys.executable, "-m", "nemo_gym.cli.collect_rollouts", *usual, f"+head_server.port={port}", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )

    return run


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """(exit code, stdout, stderr)."""
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_a_collection_ends_with_a_summary_and_exit_code_zero(
    start: Start, write_rows: WriteRows, tmp_path: Path
) -> None:
    write_rows([{}, {}, {}])
    code, out, err = outcome(start("+num_repeats=2", "+agent_name=tiny_agent"))
    assert code == 0, err
    assert "requested 6 = completed 6 + failed 0" in out
    assert "mean/reward" in out
    assert str(tmp_path / "out_aggregate_metrics.json") in out
    assert "6/6" in err


def test_request_parameters_and_limit_reach_the_rows(start: Start, write_rows: WriteRows, tmp_path: Path) -> None:
    write_rows([{}, {}, {}])
    code, _, err = outcome(start("+limit=1", "+responses_create_params={temperature: 0.5, top_p: 1}"))
    assert code == 0, err
    (row,) = lines(tmp_path / "out_materialized_inputs.jsonl")
    assert row["responses_create_params"] == {"input": "hi", "temperature": 0.5, "top_p": 1}


def test_more_failures_than_allowed_are_exit_code_one(start: Start, write_rows: WriteRows) -> None:
    write_rows([{"behaviour": "fail"}, {}, {"behaviour": "fail"}])
    code, out, err = outcome(start("+max_failed=1"))
    assert code == 1
    assert "requested 3 = completed 1 + failed 2 (model_error 2)" in out
    assert "the model gave up" in out
    assert "2 rollouts failed, 1 allowed" in err
    code, _, _ = outcome(start("+max_failed=2", "+resume_from_cache=true"))
    assert code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["+agent_name=tinny_agent"], 2, "did you mean `tiny_agent`?"),
        (["+resume_from_cache=true", "+overwrite=true"], 2, "contradict each other"),
        (["+limt=3"], 2, "did you mean `limit`?"),
        (["+input_jsonl_fpath=nowhere.jsonl"], 2, "nowhere.jsonl: cannot be read"),
        (["+head_server.port=9"], 1, "Start them in this folder with ng_run"),
    ],
)
def test_a_mistake_is_a_few_lines_and_no_stack_trace(
    start: Start, write_rows: WriteRows, arguments: list[str], code: int, says: str
) -> None:
    write_rows([{}])
    found, out, err = outcome(start(*arguments))
    assert (found, out) == (code, "")
    assert says in err
    assert "Traceback" not in err


def test_several_agents_and_none_named_is_an_error_that_lists_them(
    start: Start, write_rows: WriteRows, agent_url: str
) -> None:
    write_rows([{}])
    httpx.post(agent_url + "/set", json={"num_agents": 2})
    code, _, err = outcome(start())
    assert code == 2
    assert "give +agent_name=… (running: `other_agent`, `tiny_agent`)" in err


def test_existing_results_are_refused_until_told_what_to_do_with_them(start: Start, write_rows: WriteRows) -> None:
    write_rows([{}])
    assert outcome(start())[0] == 0
    code, _, err = outcome(start())
    assert code == 2
    assert "+resume_from_cache=true" in err
    assert outcome(start("+overwrite=true"))[0] == 0


def test_ctrl_c_writes_metrics_of_what_finished_and_exits_130(
    start: Start, write_rows: WriteRows, tmp_path: Path
) -> None:
    write_rows([{"delay_s": 0.05} for _ in range(200)])
    process = start("+num_samples_in_parallel=2")
    wait_for_results(process, tmp_path, more_than=0)
    process.send_signal(signal.SIGINT)
    code, out, err = outcome(process)
    assert code == 130, err
    assert "not run" in out
    assert "+resume_from_cache=true continues" in err
    assert (tmp_path / "out_aggregate_metrics.json").exists()
    completed = len(lines(tmp_path / "out.jsonl"))
    assert f"requested 200 = completed {completed} + failed 0 + not run {200 - completed}" in out


def test_a_second_ctrl_c_cancels_what_runs(start: Start, write_rows: WriteRows, tmp_path: Path) -> None:
    write_rows([{}, {"behaviour": "hang"}])
    process = start()
    wait_for_results(process, tmp_path, more_than=0)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert any("again to cancel them now" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    code, out, _ = outcome(process)
    assert code == 130
    assert "requested 2 = completed 1 + failed 0 + not run 1" in out


def wait_for_results(process: subprocess.Popen[str], folder: Path, *, more_than: int) -> bool:
    """Wait until the results file has more lines than that; False if the process ends before."""
    results = folder / "out.jsonl"
    while process.poll() is None:
        if results.exists() and results.read_bytes().count(b"\n") > more_than:
            return True
        time.sleep(0.005)
    return False
