"""The aggregate of an agent's rollouts, as `/aggregate_metrics` answers it."""

from __future__ import annotations

from typing import Any

import pytest

from nemo_gym.metrics.aggregate import aggregate_metrics, group_by_task


def answer(task: int | None, rollout: int, reward: float, **fields: Any) -> dict[str, Any]:
    index = {} if task is None else {"_ng_task_index": task}
    return {**index, "_ng_rollout_index": rollout, "reward": reward, **fields}


def test_rollouts_are_grouped_by_task_whatever_order_they_finished_in() -> None:
    finished = [answer(1, 1, 0.1), answer(0, 0, 0.2), answer(1, 0, 0.3), answer(None, 0, 0.4), answer(None, 0, 0.5)]
    rewards = [[rollout["reward"] for rollout in group] for group in group_by_task(finished)]
    assert rewards == [[0.2], [0.3, 0.1], [0.4], [0.5]]


def test_agent_metrics_hold_the_spread_and_pass_at_k_of_the_reward() -> None:
    found = aggregate_metrics([answer(0, 0, 1.0), answer(0, 1, 0.0), answer(1, 0, 0.0), answer(1, 1, 0.0)])
    assert found.agent_metrics["mean/reward"] == 0.25
    assert found.agent_metrics["std/reward"] == 0.5
    assert found.agent_metrics["pass@1/reward"] == 25.0
    assert found.agent_metrics["pass@2/reward"] == 50.0
    assert found.agent_metrics["pass@1[avg-of-2]/reward"] == 25.0
    assert found.key_metrics == {"mean/reward": 0.25, "pass@1/reward": 25.0, "pass@2/reward": 50.0}


def test_group_level_metrics_hold_one_entry_per_task() -> None:
    found = aggregate_metrics([answer(5, 0, 1.0), answer(2, 0, 0.0), answer(5, 1, 0.0)])
    assert [(group["_ng_task_index"], group["num_rollouts"]) for group in found.group_level_metrics] == [(2, 1), (5, 2)]
    assert found.group_level_metrics[1]["mean/reward"] == 0.5


def test_majority_is_reported_where_rollouts_have_an_extracted_answer() -> None:
    with_answers = [answer(0, index, float(text == "4"), extracted_answer=text) for index, text in enumerate("4475")]
    assert aggregate_metrics(with_answers).agent_metrics["majority@4/reward"] == 100.0
    without = aggregate_metrics([answer(0, 0, 1.0)]).agent_metrics
    assert not [key for key in without if key.startswith("majority")]


def test_counts_get_a_spread_but_no_pass_at_k() -> None:
    found = aggregate_metrics([answer(0, 0, 1.0, num_tool_calls=3), answer(0, 1, 1.0, num_tool_calls=1)])
    assert found.agent_metrics["max/num_tool_calls"] == 3.0
    assert "pass@1/num_tool_calls" not in found.agent_metrics


def test_a_servers_own_metrics_override_and_extend() -> None:
    found = aggregate_metrics(
        [answer(0, 0, 1.0), answer(0, 1, 0.0)],
        compute_metrics=lambda tasks: {"mean/reward": -1.0, "tasks": len(tasks), "rollouts": len(tasks[0])},
        get_key_metrics=lambda metrics: {"tasks": metrics["tasks"]},
    )
    assert found.agent_metrics["mean/reward"] == -1.0
    assert found.agent_metrics["rollouts"] == 2
    assert found.key_metrics == {"tasks": 1}


def test_no_rollouts_give_empty_metrics() -> None:
    found = aggregate_metrics([])
    assert (found.agent_metrics, found.key_metrics, found.group_level_metrics) == ({}, {}, [])


def test_a_rollout_without_a_number_is_counted_but_changes_no_statistic() -> None:
    found = aggregate_metrics([answer(0, 0, 1.0), answer(0, 1, float("nan"))])
    assert found.agent_metrics["mean/reward"] == pytest.approx(1.0)
    assert found.group_level_metrics[0]["num_rollouts"] == 2


def test_a_field_is_no_score_once_one_rollout_has_another_number() -> None:
    flags = [answer(task, 0, 1.0, solved=task % 2, steps=float(task)) for task in range(4)]
    found = aggregate_metrics(flags).agent_metrics
    assert found["pass@1/solved"] == 50.0
    assert "pass@1/steps" not in found and found["max/steps"] == 3.0
