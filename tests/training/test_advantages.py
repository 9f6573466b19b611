"""Advantages: the formulas, the identities between them, what is defined where others fail."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_gym.training.advantages import (
    bi_level_gae,
    gae,
    grpo,
    masked_whiten,
    reinforce_plus_plus,
    rloo,
    to_tokens,
    turn_gae,
)
from tests.training.batches import looped_bi_level_gae, looped_gae, looped_turn_gae, random_batch

seeds = st.integers(0, 2**32 - 1)
factors = st.floats(0, 1)
any_speed = settings(deadline=None, max_examples=60)
group_rewards = st.lists(st.tuples(st.integers(0, 3), st.none() | st.floats(-1e3, 1e3)), max_size=24)


def test_grpo_subtracts_the_mean_and_divides_by_the_std_of_each_group() -> None:
    advantages = grpo([1.0, 0.0, 0.0, 5.0, 7.0], ["a", "a", "a", "b", "b"], epsilon=0.0)
    assert advantages == pytest.approx([1.154701, -0.577350, -0.577350, -0.707107, 0.707107], abs=1e-6)


def test_grpo_without_division_keeps_the_scale() -> None:
    assert grpo([1.0, 0.0, 5.0, 7.0], [1, 1, 2, 2], divide_by_std=False).tolist() == [0.5, -0.5, -1.0, 1.0]


def test_rloo_subtracts_the_mean_of_the_others() -> None:
    assert rloo([1.0, 0.0, 0.5], [1, 1, 1]) == pytest.approx([0.75, -0.75, 0.0])


@pytest.mark.parametrize("estimator", [grpo, rloo])
def test_one_alone_and_equal_rewards_get_exact_zeros(estimator) -> None:
    assert estimator([0.1, 0.1, 0.1, 0.7], ["equal", "equal", "equal", "alone"]).tolist() == [0, 0, 0, 0]
    assert grpo([0.1, 0.1, 0.1, 0.7], [1, 1, 1, 2], epsilon=0.0).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("estimator", [grpo, rloo])
@any_speed
@given(members=group_rewards)
def test_failed_rollouts_get_zero_and_change_nobody_else(estimator, members) -> None:
    ids = [group for group, _ in members]
    rewards = [reward for _, reward in members]
    advantages = estimator(rewards, ids)
    assert np.isfinite(advantages).all()
    scored = [place for place, reward in enumerate(rewards) if reward is not None]
    alone = estimator([rewards[place] for place in scored], [ids[place] for place in scored])
    assert advantages[scored] == pytest.approx(alone, rel=1e-9, abs=1e-9)
    assert not np.delete(advantages, scored).any()


@any_speed
@given(members=group_rewards)
def test_rloo_is_dr_grpo_times_n_over_n_minus_one(members) -> None:
    ids = [group for group, _ in members]
    rewards = [reward for _, reward in members]
    for place, (own, reward) in enumerate(members):
        others = [each for at, (group, each) in enumerate(members) if group == own and at != place and each is not None]
        if reward is not None and others:
            assert rloo(rewards, ids)[place] == pytest.approx(reward - np.mean(others), rel=1e-6, abs=1e-6)


def test_an_infinite_reward_is_refused_before_it_spoils_its_group() -> None:
    with pytest.raises(ValueError, match="rollout 1 is infinite"):
        grpo([0.0, float("inf")], [1, 1])


def test_to_tokens_gives_every_trained_token_its_rollouts_advantage() -> None:
    assert to_tokens([2.0, -1.0], [[0, 1, 1], [1, 0, 0]]).tolist() == [[0, 2, 2], [-1, 0, 0]]


@any_speed
@given(seed=seeds, gamma=factors, gae_lambda=factors, bootstrap=st.floats(-2, 2))
def test_gae_is_the_loop_over_trained_tokens(seed, gamma, gae_lambda, bootstrap) -> None:
    batch = random_batch(seed)
    answer = gae(*batch.estimated[:3], gamma=gamma, gae_lambda=gae_lambda, bootstrap=bootstrap)
    assert answer.advantages == pytest.approx(looped_gae(batch, gamma, gae_lambda, bootstrap), abs=1e-9)


@any_speed
@given(seed=seeds, gamma=factors, gae_lambda=factors, high=factors, bootstrap=st.floats(-2, 2))
def test_bi_level_gae_is_the_loop_over_turns_then_tokens(seed, gamma, gae_lambda, high, bootstrap) -> None:
    batch = random_batch(seed)
    answer = bi_level_gae(
        *batch.estimated, gamma=gamma, gae_lambda=gae_lambda, high_level_gamma=high, bootstrap=bootstrap
    )
    assert answer.advantages == pytest.approx(looped_bi_level_gae(batch, gamma, gae_lambda, high, bootstrap), abs=1e-9)


@any_speed
@given(seed=seeds)
def test_returns_are_advantages_plus_values_on_trained_tokens_and_zero_elsewhere(seed) -> None:
    batch = random_batch(seed)
    for answer in (gae(*batch.estimated[:3], gae_lambda=0.9), bi_level_gae(*batch.estimated, gae_lambda=0.9)):
        trained = batch.loss_mask
        assert answer.returns[trained] == pytest.approx(answer.advantages[trained] + batch.values[trained])
        assert not answer.returns[~trained].any() and not answer.advantages[~trained].any()


@any_speed
@given(seed=seeds)
def test_bi_level_gae_without_discounts_is_gae(seed) -> None:
    batch = random_batch(seed)
    both = bi_level_gae(*batch.estimated, high_level_gamma=1.0), gae(*batch.estimated[:3])
    assert both[0].advantages == pytest.approx(both[1].advantages, abs=1e-9)


@any_speed
@given(seed=seeds, gamma=factors, gae_lambda=factors, high=factors)
def test_high_level_gamma_does_not_matter_in_a_single_turn(seed, gamma, gae_lambda, high) -> None:
    batch = random_batch(seed, most_turns=1)
    answers = [
        bi_level_gae(*batch.estimated, gamma=gamma, gae_lambda=gae_lambda, high_level_gamma=each).advantages
        for each in (high, 1.0)
    ]
    assert (answers[0] == answers[1]).all()


@any_speed
@given(seed=seeds, high=factors)
def test_bi_level_gae_with_gamma_and_lambda_one_is_the_turns_return_minus_the_value(seed, high) -> None:
    batch = random_batch(seed)
    answer = bi_level_gae(*batch.estimated, high_level_gamma=high)
    for row, rewards in enumerate(batch.turn_rewards):
        returns = [
            sum(high ** (later - k) * rewards[later] for later in range(k, len(rewards))) for k in range(len(rewards))
        ]
        turn = np.cumsum(batch.turn_end[row]) - batch.turn_end[row]
        for token in np.flatnonzero(batch.loss_mask[row]):
            expected = returns[turn[token]] - batch.values[row, token]
            assert answer.advantages[row, token] == pytest.approx(expected, abs=1e-9)


@any_speed
@given(seed=seeds, gae_lambda=factors, high=factors, bootstrap=st.floats(-2, 2))
def test_turn_gae_is_the_loop_over_turns(seed, gae_lambda, high, bootstrap) -> None:
    batch = random_batch(seed)
    answer = turn_gae(*batch.estimated, high_level_gamma=high, gae_lambda=gae_lambda, bootstrap=bootstrap)
    assert answer.advantages == pytest.approx(looped_turn_gae(batch, gae_lambda, high, bootstrap), abs=1e-9)


@any_speed
@given(seed=seeds, gae_lambda=factors)
def test_turn_gae_of_one_token_turns_is_gae(seed, gae_lambda) -> None:
    batch = random_batch(seed)
    answer = turn_gae(
        batch.rewards, batch.values, batch.loss_mask, batch.loss_mask, high_level_gamma=0.9, gae_lambda=gae_lambda
    )
    same = gae(*batch.estimated[:3], gamma=0.9, gae_lambda=gae_lambda)
    assert answer.advantages == pytest.approx(same.advantages, abs=1e-9)
    assert answer.returns == pytest.approx(same.returns, abs=1e-9)


def test_turn_gae_gives_all_tokens_of_a_turn_one_advantage_from_the_value_where_it_begins() -> None:
    answer = turn_gae(
        [[0, 0.25, 0.25, 0, 1.0]],
        [[0.5, 9.0, 9.0, 9.0, 0.25]],
        [[1, 1, 1, 0, 1]],
        [[0, 0, 1, 0, 1]],
        high_level_gamma=0.5,
        gae_lambda=1.0,
    )
    # A_2 = 1 - 0.25; A_1 = 0.5 + 0.5·0.25 - 0.5 + 0.5·0.75
    assert answer.advantages.tolist() == [[0.5, 0.5, 0.5, 0, 0.75]]
    assert answer.returns.tolist() == [[1.0, 1.0, 1.0, 0, 1.0]]


def test_a_bootstrap_value_stands_for_what_a_cut_episode_would_still_have_earned() -> None:
    arguments = [[0.0, 0.0]], [[0.0, 0.0]], [[1, 1]], [[1, 1]]
    answer = bi_level_gae(*arguments, high_level_gamma=0.5, bootstrap=[8.0])
    assert answer.advantages.tolist() == [[2.0, 4.0]]


def test_the_last_trained_token_ends_the_last_turn_even_if_it_is_not_marked() -> None:
    marked = bi_level_gae([[0, 1.0, 0, 2.0]], [[1, 2, 3, 4.0]], [[1, 1, 1, 1]], [[0, 1, 0, 1]])
    unmarked = bi_level_gae([[0, 1.0, 0, 2.0]], [[1, 2, 3, 4.0]], [[1, 1, 1, 1]], [[0, 1, 0, 0]])
    assert (marked.advantages == unmarked.advantages).all()


def test_a_batch_of_failed_rollouts_gives_zeros() -> None:
    nothing = np.zeros((2, 5))
    for answer in (
        reinforce_plus_plus(nothing, nothing),
        gae(nothing, nothing, nothing),
        turn_gae(nothing, nothing, nothing, nothing),
        bi_level_gae(nothing, nothing, nothing, nothing),
    ):
        assert answer.advantages.tolist() == answer.returns.tolist() == nothing.tolist()
    empty = np.zeros((0, 0))
    assert gae(empty, empty, empty).advantages.shape == (0, 0)
    assert turn_gae(empty, empty, empty, empty).advantages.shape == (0, 0)


def test_a_reward_on_an_untrained_token_is_refused_because_it_would_be_lost() -> None:
    with pytest.raises(ValueError, match="sample 0 has a reward on token 2"):
        gae([[0, 0, 1.0]], [[0, 0, 0.0]], [[1, 1, 0]])


def test_a_value_or_reward_that_is_not_a_number_is_refused_only_where_it_is_read() -> None:
    assert gae([[0, 1.0]], [[np.nan, 0.5]], [[0, 1]]).advantages.tolist() == [[0, 0.5]]
    with pytest.raises(ValueError, match="sample 0 has a value"):
        gae([[0, 1.0]], [[np.nan, 0.5]], [[1, 1]])
    with pytest.raises(ValueError, match="sample 0 has a token reward"):
        gae([[np.nan, 1.0]], [[0.5, 0.5]], [[1, 1]])


def test_arrays_of_different_shapes_are_refused_with_their_shapes() -> None:
    with pytest.raises(ValueError, match=r"loss_mask \(1, 3\)"):
        gae([[0, 1.0]], [[0, 0.5]], [[1, 1, 1]])


def test_reinforce_plus_plus_whitens_discounted_returns_over_the_batch() -> None:
    answer = reinforce_plus_plus([[0, 0, 1.0], [2.0, 0, 0]], [[1, 0, 1], [1, 0, 0]], gamma=0.5)
    assert answer.returns.tolist() == [[0.5, 0, 1.0], [2.0, 0, 0]]
    assert (answer.advantages == masked_whiten(answer.returns, [[1, 0, 1], [1, 0, 0]])).all()


@any_speed
@given(seed=seeds)
def test_whitened_entries_have_mean_zero_and_variance_one(seed) -> None:
    batch = random_batch(seed)
    whitened = masked_whiten(batch.values, batch.loss_mask)
    assert not whitened[~batch.loss_mask].any()
    chosen = whitened[batch.loss_mask]
    if chosen.size > 2:
        assert chosen.mean() == pytest.approx(0, abs=1e-9)
        assert chosen.var(ddof=1) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("mask", [[0, 0, 0], [0, 1, 0], [1, 1, 1]])
def test_whitening_fewer_than_two_or_equal_entries_gives_zeros(mask) -> None:
    assert masked_whiten([0.1, 0.1, 0.1], mask).tolist() == [0, 0, 0]
