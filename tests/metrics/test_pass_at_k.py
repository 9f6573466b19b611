"""pass@k, avg-of-k and majority@k against brute force over all draws."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_gym.metrics.pass_at_k import (
    RunningPassAtK,
    compute_pass_majority_metrics,
    compute_subset_metrics,
    highest_k_metrics,
    ks_up_to,
    majority_at_k,
    pass_at_k,
)

scores_and_k = st.lists(st.floats(0, 1), min_size=1, max_size=8).flatmap(
    lambda scores: st.tuples(st.just(scores), st.integers(1, len(scores)))
)


@given(scores_and_k)
def test_pass_at_k_is_the_mean_best_over_all_draws(case: tuple[list[float], int]) -> None:
    scores, k = case
    draws = [max(draw) for draw in itertools.combinations(scores, k)]
    assert pass_at_k(scores, k) == pytest.approx(sum(draws) / len(draws), abs=1e-12)


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.data())
def test_pass_at_k_of_zeros_and_ones_is_the_closed_formula(correct: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(correct)))
    n, c = len(correct), sum(correct)
    assert pass_at_k([float(x) for x in correct], k) == pytest.approx(1 - math.comb(n - c, k) / math.comb(n, k))


def test_pass_at_k_stays_exact_for_a_thousand_rollouts() -> None:
    scores = [0.0] * 999 + [1.0]
    assert pass_at_k(scores, 10) == pytest.approx(0.01)


@pytest.mark.parametrize("k", [0, 4])
def test_pass_at_k_refuses_a_k_that_the_group_cannot_give(k: int) -> None:
    with pytest.raises(ValueError, match="not defined"):
        pass_at_k([1.0, 0.0, 1.0], k)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=8))
def test_majority_at_k_is_what_a_fair_draw_among_the_most_frequent_answers_gives(
    votes: list[tuple[str | None, float]],
) -> None:
    answers, scores = [answer for answer, _ in votes], [score for _, score in votes]
    cast = [answer for answer in answers if answer is not None]
    if cast:
        most = max(cast.count(answer) for answer in cast)
        winners = [answer for answer in set(cast) if cast.count(answer) == most]
        means = [sum(s for a, s in votes if a == winner) / cast.count(winner) for winner in winners]
        expected = sum(means) / len(means)
    else:
        expected = 0.0
    assert majority_at_k(answers, scores, len(votes)) == pytest.approx(expected)


def test_majority_at_k_looks_at_the_first_k_only() -> None:
    assert majority_at_k(["a", "b", "b"], [1.0, 0.0, 0.0], 1) == 1.0


def test_majority_at_k_counts_equal_structures_as_one_answer() -> None:
    answers = [{"x": 1, "y": 2}, {"y": 2, "x": 1}, [3]]
    assert majority_at_k(answers, [1.0, 1.0, 0.0], 3) == 1.0


@given(st.integers(0, 200))
def test_ks_are_the_powers_of_two_and_n_itself(n: int) -> None:
    assert ks_up_to(n) == sorted({k for k in range(1, n + 1) if k & (k - 1) == 0 or k == n})


def rollouts(*rewards: float | None) -> list[dict[str, object]]:
    return [{} if reward is None else {"reward": reward} for reward in rewards]


def test_default_score_is_the_reward_in_percent() -> None:
    metrics, scores, names, max_k = compute_pass_majority_metrics([rollouts(1.0, 0.0), rollouts(0.0, 0.0)])
    assert metrics["pass@1/reward"] == 25.0
    assert metrics["pass@2/reward"] == 50.0
    assert metrics["pass@1[avg-of-2]/reward"] == 25.0
    assert (scores[0], names, max_k) == ([{"reward": 1.0}, {"reward": 0.0}], ["reward"], 2)
    assert not [key for key in metrics if key.startswith("majority")]


def test_tasks_with_fewer_than_k_rollouts_do_not_count_for_k() -> None:
    metrics = compute_pass_majority_metrics([rollouts(1.0), rollouts(0.0, 0.0)])[0]
    assert metrics["pass@1/reward"] == 50.0
    assert metrics["pass@2/reward"] == 0.0


def test_missing_and_nan_scores_do_not_count() -> None:
    metrics, scores, _, max_k = compute_pass_majority_metrics([rollouts(1.0, None, float("nan"))])
    assert scores == [[{"reward": 1.0}, {}, {}]]
    assert max_k == 3
    assert metrics["pass@1/reward"] == 100.0
    assert "pass@2/reward" not in metrics


def test_no_tasks_give_no_metrics() -> None:
    assert compute_pass_majority_metrics([]) == ({}, [], [], 0)
    assert compute_pass_majority_metrics([[]]) == ({}, [[]], [], 0)


def test_an_answer_key_adds_majority_and_the_share_without_answer() -> None:
    group = [
        {"reward": 1.0, "answer": "4"},
        {"reward": 1.0, "answer": "4"},
        {"reward": 0.0, "answer": ""},
        {"reward": 0.0, "answer": None},
    ]
    metrics = compute_pass_majority_metrics([group], answer_key="answer")[0]
    assert metrics["majority@4/reward"] == 100.0
    assert metrics["pass@1[avg-of-4]/no_answer"] == 50.0


def test_several_named_scores_are_reported_side_by_side() -> None:
    metrics = compute_pass_majority_metrics(
        [rollouts(0.5, 1.0)], lambda rollout: {"exact": rollout["reward"] == 1.0, "soft": rollout["reward"]}
    )[0]
    assert metrics["pass@1/exact"] == 50.0
    assert metrics["pass@1/soft"] == 75.0


def test_spread_across_runs_compares_the_means_of_the_runs() -> None:
    metrics = compute_pass_majority_metrics([rollouts(1.0, 0.0), rollouts(1.0, 0.0)])[0]
    assert metrics["pass@1[avg-of-2]/reward/std_dev_across_runs"] == pytest.approx(math.sqrt(5000))
    assert metrics["pass@1[avg-of-2]/reward/std_err_across_runs"] == pytest.approx(50.0)


def test_subset_metrics_stand_under_the_subsets_name() -> None:
    tasks = [
        [{"reward": 1.0, "level": "easy"}],
        [{"reward": 0.0, "level": "hard"}],
        [{"reward": 1.0, "level": "hard"}],
        [{"reward": 1.0}],
    ]
    metrics = compute_subset_metrics(tasks, "level")
    assert metrics["easy/pass@1/reward"] == 100.0
    assert metrics["hard/pass@1/reward"] == 50.0


def test_highest_k_metrics_picks_the_largest_k_of_one_family() -> None:
    metrics = compute_pass_majority_metrics([rollouts(1.0, 0.0, 0.0) for _ in range(2)])[0]
    assert highest_k_metrics(metrics, "pass@{k}") == {"pass@3/reward": 100.0}
    assert list(highest_k_metrics(metrics, "pass@1[avg-of-{k}]")) == ["pass@1[avg-of-3]/reward"]
    assert highest_k_metrics(metrics, "majority@{k}") == {}


def test_highest_k_metrics_keeps_and_leaves_out_the_scores_named() -> None:
    metrics = {"pass@2/a": 1.0, "pass@2/b": 2.0, "pass@2/c": 3.0}
    assert highest_k_metrics(metrics, "pass@{k}", score_names=["a", "b"], exclude_names=["b"]) == {"pass@2/a": 1.0}


groups_of_scores = st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=9), min_size=1, max_size=6)


@given(groups_of_scores, st.data())
def test_every_k_counts_the_tasks_with_so_many_rollouts_in_whatever_order_they_come(
    groups: list[list[float]], data: st.DataObject
) -> None:
    running = RunningPassAtK()
    for group in data.draw(st.permutations(groups)):
        running.add([{"reward": score} for score in group], None)
    largest = max(map(len, groups))
    expected = {}
    for k in ks_up_to(largest):
        large_enough = [group for group in groups if len(group) >= k]
        expected[f"pass@{k}/reward"] = 100 * sum(pass_at_k(group, k) for group in large_enough) / len(large_enough)
        averages = [sum(group[:k]) / k for group in large_enough]
        expected[f"pass@1[avg-of-{k}]/reward"] = 100 * sum(averages) / len(averages)
    found = {name: value for name, value in running.metrics().items() if not name.endswith("_across_runs")}
    assert found == pytest.approx(expected)
    assert running.max_k == largest


def test_a_score_that_is_dropped_leaves_nothing_behind() -> None:
    running = RunningPassAtK()
    running.add([{"reward": 1.0, "steps": 1.0}], None)
    running.drop("steps")
    assert running.names == ["reward"]
    assert not [name for name in running.metrics() if "steps" in name]
