"""Advantages: what must hold whatever the rewards, masks and values are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_gym.training.advantages import bi_level_gae, gae, grpo, masked_whiten, reinforce_plus_plus, rloo, turn_gae
from nemo_gym.training.credit import return_to_go, turn_trajectories
from tests.training.batches import Batch, random_batch

Array = np.ndarray[Any, Any]

seeds = st.integers(0, 2**32 - 1)
factors = st.floats(0, 1)
any_speed = settings(deadline=None, max_examples=80)
quarters = st.integers(-40, 40).map(lambda number: number / 4)
members = st.lists(st.tuples(st.integers(0, 3), st.none() | quarters), min_size=1, max_size=20)
OVER_TIME = {
    "reinforce_plus_plus": lambda batch: reinforce_plus_plus(batch.rewards, batch.loss_mask, gamma=0.9).returns,
    "gae": lambda batch: gae(*batch.estimated[:3], gamma=0.9, gae_lambda=0.8).advantages,
    "turn_gae": lambda batch: turn_gae(*batch.estimated, high_level_gamma=0.9, gae_lambda=0.8).advantages,
    "bi_level_gae": lambda batch: bi_level_gae(*batch.estimated, gamma=0.9, gae_lambda=0.8).advantages,
}


def columns(batch: Batch, change: Any) -> Batch:
    """The batch with each of its [B, T] arrays changed."""
    dense = [change(each) for each in (batch.rewards, batch.values, batch.loss_mask, batch.turn_end)]
    return Batch(batch.turn_rewards, *dense)


@pytest.mark.parametrize("estimator", [grpo, rloo])
@any_speed
@given(members=members, shift=st.floats(-100, 100), scale=st.floats(0.1, 10))
def test_comparing_is_blind_to_a_shift_and_follows_scale(estimator, members, shift, scale) -> None:
    ids = [group for group, _ in members]
    rewards = [reward for _, reward in members]
    moved = [None if reward is None else reward + shift for reward in rewards]
    assert estimator(moved, ids) == pytest.approx(estimator(rewards, ids), rel=1e-4, abs=1e-4)
    scaled = [None if reward is None else reward * scale for reward in rewards]
    assert rloo(scaled, ids) == pytest.approx(rloo(rewards, ids) * scale, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("estimator", [grpo, rloo])
@any_speed
@given(members=members, seed=seeds)
def test_the_order_of_rollouts_does_not_matter_and_groups_sum_to_zero(estimator, members, seed) -> None:
    ids = [group for group, _ in members]
    rewards = [reward for _, reward in members]
    advantages = estimator(rewards, ids)
    order = np.random.default_rng(seed).permutation(len(members))
    shuffled = estimator([rewards[place] for place in order], [ids[place] for place in order])
    assert shuffled == pytest.approx(advantages[order], rel=1e-6, abs=1e-6)
    for group in set(ids):
        assert advantages[np.array(ids) == group].sum() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", OVER_TIME)
@any_speed
@given(seed=seeds, gap_seed=seeds)
def test_what_the_environment_said_is_no_step_however_long_it_is(name, seed, gap_seed) -> None:
    batch = random_batch(seed)
    estimate = OVER_TIME[name]
    width = batch.loss_mask.shape[1]
    rng = np.random.default_rng(gap_seed)
    places = np.sort(rng.integers(0, width + 1, rng.integers(1, 4)))

    def longer(dense: Array) -> Array:
        return np.insert(dense, places, 0, axis=1)

    kept = longer(np.ones(batch.loss_mask.shape)).astype(bool)[0]
    assert estimate(columns(batch, longer))[:, kept] == pytest.approx(estimate(batch), abs=1e-9)


@pytest.mark.parametrize("name", ["gae", "turn_gae", "bi_level_gae"])
@any_speed
@given(seed=seeds)
def test_a_rollouts_advantages_do_not_depend_on_the_others_beside_it(name, seed) -> None:
    batch = random_batch(seed)
    whole = OVER_TIME[name](batch)
    for row in range(len(batch.turn_rewards)):
        alone = columns(batch, lambda dense, row=row: dense[row : row + 1])
        assert OVER_TIME[name](alone)[0] == pytest.approx(whole[row], abs=1e-9)


@any_speed
@given(seed=seeds, gamma=factors, bootstrap=st.floats(-2, 2))
def test_with_lambda_one_the_critic_learns_the_discounted_return(seed, gamma, bootstrap) -> None:
    batch = random_batch(seed)
    returns = gae(*batch.estimated[:3], gamma=gamma, bootstrap=bootstrap).returns
    for row, mask in enumerate(batch.loss_mask):
        later = bootstrap
        for token in np.flatnonzero(mask)[::-1]:
            later = batch.rewards[row, token] + gamma * later
            assert returns[row, token] == pytest.approx(later, abs=1e-9)


@any_speed
@given(seed=seeds, gamma=factors)
def test_a_perfect_critic_leaves_no_advantage(seed, gamma) -> None:
    batch = random_batch(seed)
    values = reinforce_plus_plus(batch.rewards, batch.loss_mask, gamma=gamma).returns
    answer = gae(batch.rewards, values, batch.loss_mask, gamma=gamma, gae_lambda=0.7)
    assert answer.advantages == pytest.approx(np.zeros(values.shape), abs=1e-9)


@any_speed
@given(seed=seeds, discount=factors)
def test_turns_as_trajectories_are_judged_by_the_returns_at_their_ends(seed, discount) -> None:
    batch = random_batch(seed)
    arguments = batch.turn_rewards, batch.turn_end, batch.loss_mask
    turns = turn_trajectories(*arguments, list(range(len(batch.turn_rewards))), discount=discount)
    assert turns.rewards == pytest.approx(return_to_go(*arguments, discount=discount)[batch.turn_end], abs=1e-12)
    spread = turns.to_tokens(turns.rewards)
    assert not spread[~batch.loss_mask].any()
    assert spread[batch.turn_end] == pytest.approx(turns.rewards)


@any_speed
@given(seed=seeds, shift=st.floats(-10, 10), scale=st.floats(0.5, 10))
def test_whitening_forgets_shift_and_scale(seed, shift, scale) -> None:
    batch = random_batch(seed)
    plain = masked_whiten(batch.values, batch.loss_mask)
    assert masked_whiten(batch.values * scale + shift, batch.loss_mask) == pytest.approx(plain, rel=1e-3, abs=1e-3)
