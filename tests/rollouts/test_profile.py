"""Reward profiles: each task's statistics, which tasks are kept, and files that are still being written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from nemo_gym.cli.reward_profile import reward_profile
from nemo_gym.errors import DataError
from nemo_gym.rollouts.profile import Solved, TaskFilter, profile_rewards
from tests.rows import row_asking

REWARDS = {0: [0, 0, 0, 0], 1: [1, 0, 0.5, 1], 2: [1, 1, 1, 1], 3: [0, 1, 0, 0]}


@pytest.fixture
def rollouts(tmp_path: Path) -> Path:
    """Results of four tasks with four rollouts each, last task first, beside their inputs of five tasks."""
    path = tmp_path / "out.jsonl"
    keys = [(task, rollout) for task in range(5) for rollout in range(4)]
    rows = [
        {**row_asking(f"q{t}"), "_ng_task_index": t, "_ng_rollout_index": r, "_ng_rollout_id": "x"} for t, r in keys
    ]
    (tmp_path / "out_materialized_inputs.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    with path.open("wb") as file:
        for task in sorted(REWARDS, reverse=True):
            for rollout, reward in enumerate(REWARDS[task]):
                result = {"_ng_task_index": task, "_ng_rollout_index": rollout, "reward": float(reward), "more": {}}
                file.write(orjson.dumps(result) + b"\n")
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_each_task_with_rollouts_is_written_in_order_with_its_statistics(rollouts: Path, tmp_path: Path) -> None:
    summary = profile_rewards(rollouts, tmp_path / "profile.jsonl")
    rows = lines(tmp_path / "profile.jsonl")
    assert [row["_ng_task_index"] for row in rows] == [0, 1, 2, 3]
    assert rows[1] == {
        **row_asking("q1"),
        "_ng_task_index": 1,
        "reward_profile": {
            "num_rollouts": 4,
            "num_passed": 2,
            "pass_rate": 0.5,
            "mean": 0.625,
            "std": pytest.approx(0.4787, abs=1e-4),
            "min": 0.0,
            "max": 1.0,
        },
    }
    assert (summary.num_tasks, summary.num_rollouts, summary.num_written) == (5, 16, 4)
    assert summary.num_without_rollouts == 1
    assert summary.mean_reward == pytest.approx(7.5 / 16)
    assert summary.solved == {Solved.NEVER: 1, Solved.SOMETIMES: 2, Solved.ALWAYS: 1}
    assert summary.by_quarter == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("keep", "tasks"),
    [
        (TaskFilter(solved=frozenset({Solved.SOMETIMES})), [1, 3]),
        (TaskFilter(solved=frozenset({Solved.NEVER, Solved.ALWAYS})), [0, 2]),
        (TaskFilter(min_mean_reward=0.25, max_mean_reward=0.7), [1, 3]),
        (TaskFilter(min_rollouts=5), []),
    ],
)
def test_a_filter_keeps_tasks_by_what_their_rollouts_came_to(
    rollouts: Path, tmp_path: Path, keep: TaskFilter, tasks: list[int]
) -> None:
    profile_rewards(rollouts, tmp_path / "profile.jsonl", keep=keep)
    assert [row["_ng_task_index"] for row in lines(tmp_path / "profile.jsonl")] == tasks


def test_a_lower_threshold_lets_more_rollouts_pass(rollouts: Path, tmp_path: Path) -> None:
    profile_rewards(rollouts, tmp_path / "profile.jsonl", pass_threshold=0.5)
    assert lines(tmp_path / "profile.jsonl")[1]["reward_profile"]["num_passed"] == 3


def test_a_line_that_is_just_being_written_does_not_count_yet(rollouts: Path, tmp_path: Path) -> None:
    whole = rollouts.read_bytes()
    rollouts.write_bytes(whole[: whole.index(b"\n") + 20])
    assert profile_rewards(rollouts, tmp_path / "profile.jsonl").num_rollouts == 1


def test_rollouts_of_another_collection_are_refused_and_nothing_is_written(rollouts: Path, tmp_path: Path) -> None:
    result = {"_ng_task_index": 9, "_ng_rollout_index": 0, "reward": 1.0}
    rollouts.write_bytes(rollouts.read_bytes() + orjson.dumps(result) + b"\n")
    with pytest.raises(DataError, match="has no task 9, of which there are rollouts"):
        profile_rewards(rollouts, tmp_path / "profile.jsonl")
    assert not (tmp_path / "profile.jsonl").exists()


def test_rows_that_were_never_materialized_are_refused(rollouts: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(orjson.dumps(row_asking("q")) + b"\n")
    with pytest.raises(DataError, match=r"rows.jsonl:1: is no row of materialized inputs"):
        profile_rewards(rollouts, tmp_path / "profile.jsonl", inputs=tmp_path / "rows.jsonl")


def test_no_file_is_written_over_itself(rollouts: Path) -> None:
    with pytest.raises(DataError, match="would be written over"):
        profile_rewards(rollouts, rollouts)


def test_the_command_prints_the_spread_of_pass_rates(
    rollouts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reward_profile([f"+rollouts_jsonl_fpath={rollouts}", "+keep=[sometimes,never]"]) == 0
    said = capsys.readouterr().out
    assert "16 rollouts of 5 tasks, mean reward 0.469" in said
    assert "never (0)        1" in said and "none yet         1  no rollout has finished" in said
    assert f"{tmp_path}/out_reward_profile.jsonl  3 tasks" in said
