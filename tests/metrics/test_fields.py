"""Which values of a verify answer count as numbers."""

from __future__ import annotations

from nemo_gym.metrics.aggregate import aggregate_metrics
from nemo_gym.metrics.fields import is_score, numeric_fields


def test_bools_and_nested_numbers_are_flattened() -> None:
    answer = {"reward": 1, "exact": True, "reward_components": {"format": 0.5, "deep": {"a": 2}}}
    assert numeric_fields(answer) == {
        "reward": 1.0,
        "exact": 1.0,
        "reward_components/format": 0.5,
        "reward_components/deep/a": 2.0,
    }


def test_reserved_keys_bodies_and_lists_are_left_out() -> None:
    answer = {
        "reward": 1.0,
        "_ng_task_index": 3,
        "agent_ref": {"name": "a"},
        "responses_create_params": {"temperature": 1.0},
        "response": {"created_at": 1.0},
        "turns": [{"reward": 1.0}],
        "text": "4",
        "nothing": None,
    }
    assert numeric_fields(answer) == {"reward": 1.0}


def test_an_object_that_holds_text_is_the_environments_own_data() -> None:
    assert numeric_fields({"state": {"0": {"duration": 30, "name": "lunch"}}}) == {}


def test_numbers_that_are_not_finite_count_as_missing() -> None:
    assert numeric_fields({"a": float("nan"), "b": float("inf"), "c": 10**400, "d": 1}) == {"d": 1.0}


def test_numbers_whose_squares_overflow_count_as_missing() -> None:
    rows = [{"reward": 1.0, "size": 1.9e154, "_ng_task_index": 0}, {"reward": 0.0, "size": -1e308, "_ng_task_index": 0}]
    metrics = aggregate_metrics(rows).agent_metrics
    assert metrics["mean/reward"] == 0.5 and "mean/size" not in metrics


def test_an_object_may_be_nested_deeper_than_python_calls() -> None:
    nested: object = 1
    for _ in range(5000):
        nested = {"a": nested}
    assert list(numeric_fields({"deep": nested}).values()) == [1.0]


def test_usage_is_the_responses_where_the_answer_has_none() -> None:
    nested = {"input_tokens": 7, "input_tokens_details": {"cached_tokens": 2}}
    assert numeric_fields({"response": {"usage": nested}}) == {
        "usage/input_tokens": 7.0,
        "usage/input_tokens_details/cached_tokens": 2.0,
    }
    assert numeric_fields({"usage": {"input_tokens": 9}, "response": {"usage": nested}}) == {"usage/input_tokens": 9.0}


def test_scores_are_the_reward_its_components_and_what_is_only_ever_zero_or_one() -> None:
    assert is_score("reward", [-1.0, 3.0])
    assert is_score("reward_components/format", [0.3])
    assert is_score("exact", [0.0, 1.0])
    assert not is_score("num_tool_calls", [0.0, 2.0])
    assert not is_score("timings/seed_s", [0.0])
