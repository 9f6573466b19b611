"""Credit: which token gets which reward, and what is refused because a reward would be lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_gym.training.advantages import gae, grpo
from nemo_gym.training.credit import add_components, return_to_go, token_rewards, turn_trajectories
from tests.training.batches import random_batch

REWARDS = [[1.0, 0.0, 4.0], [2.0]]
ENDS = [[0, 1, 0, 1, 0, 1], [0, 0, 1, 0, 0, 0]]
MASK = [[1, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 0]]
any_speed = settings(deadline=None, max_examples=60)


@pytest.mark.parametrize(
    ("credit", "expected"),
    [
        ("final", [[0, 0, 0, 0, 0, 5.0], [0, 0, 2.0, 0, 0, 0]]),
        ("turn", [[0, 1.0, 0, 0, 0, 4.0], [0, 0, 2.0, 0, 0, 0]]),
        ("return_to_go", [[0, 5.0, 0, 4.0, 0, 4.0], [0, 0, 2.0, 0, 0, 0]]),
        ("turn_as_trajectory", [[0, 1.0, 0, 0, 0, 4.0], [0, 0, 2.0, 0, 0, 0]]),
    ],
)
def test_each_option_puts_rewards_where_it_says(credit, expected) -> None:
    assert token_rewards(credit, REWARDS, ENDS, MASK).tolist() == expected


def test_return_to_go_discounts_later_turns() -> None:
    assert return_to_go(REWARDS, ENDS, MASK, discount=0.5)[0].tolist() == [0, 2.0, 0, 2.0, 0, 4.0]


def test_rewards_of_turns_may_be_arrays() -> None:
    assert token_rewards("final", [np.array(each) for each in REWARDS], ENDS, MASK).sum() == 7.0


def test_final_takes_the_verifiers_reward_where_it_is_not_the_sum_of_the_turns() -> None:
    dense = token_rewards("final", REWARDS, ENDS, MASK, trajectory_rewards=[0.5, -1.0])
    assert dense.tolist() == [[0, 0, 0, 0, 0, 0.5], [0, 0, -1.0, 0, 0, 0]]


@any_speed
@given(seed=st.integers(0, 2**32 - 1))
def test_final_and_turn_keep_the_sum_and_every_reward_lies_on_a_trained_token(seed) -> None:
    batch = random_batch(seed)
    for credit in ("final", "turn", "return_to_go"):
        dense = token_rewards(credit, batch.turn_rewards, batch.turn_end, batch.loss_mask)
        assert not dense[~batch.turn_end].any()
        if credit != "return_to_go":
            assert dense.sum(axis=1) == pytest.approx([sum(rewards) for rewards in batch.turn_rewards])


@any_speed
@given(seed=st.integers(0, 2**32 - 1))
def test_without_discount_and_critic_gae_of_turn_rewards_is_the_return_to_go(seed) -> None:
    batch = random_batch(seed)
    nothing = np.zeros(batch.rewards.shape)
    summed = gae(batch.rewards, nothing, batch.loss_mask).advantages
    placed = return_to_go(batch.turn_rewards, batch.turn_end, batch.loss_mask)
    assert summed[batch.turn_end] == pytest.approx(placed[batch.turn_end])


def test_a_failed_rollout_gets_no_reward_anywhere() -> None:
    for credit in ("final", "turn", "return_to_go", "turn_as_trajectory"):
        dense = token_rewards(credit, [None, [1.0]], [[0, 0], [0, 1]], [[0, 0], [1, 1]], trajectory_rewards=[None, 1.0])
        assert dense.tolist() == [[0, 0], [0, 1.0]]


@pytest.mark.parametrize(
    ("rewards", "ends", "mask", "message"),
    [
        ([[1.0, 2.0]], [[0, 1]], [[1, 1]], "sample 0 has 2 turn rewards and 1 turn ends"),
        ([None], [[0, 1]], [[1, 1]], "sample 0 has 0 turn rewards and 1 turn ends"),
        ([[1.0]], [[0, 1]], [[1, 0]], "sample 0 has a turn end on token 1, which is not trained"),
        ([[1.0]], [[1, 0]], [[1, 1]], "sample 0 has trained tokens after its last turn end"),
        ([[float("nan")]], [[0, 1]], [[1, 1]], "sample 0 has a turn reward that is not a number"),
        ([[1.0]], [0, 1], [1, 1], "give \\[samples, tokens\\] twice"),
    ],
)
def test_rewards_that_do_not_fit_the_turns_are_refused(rewards, ends, mask, message) -> None:
    with pytest.raises(ValueError, match=message):
        token_rewards("turn", rewards, ends, mask)


def test_a_trajectory_reward_without_any_trained_token_is_refused() -> None:
    with pytest.raises(ValueError, match="sample 0 has a reward but no turn end"):
        token_rewards("final", [[]], [[0, 0]], [[0, 0]], trajectory_rewards=[1.0])


def test_turns_are_compared_with_the_same_turn_of_the_same_task() -> None:
    rewards = [[1.0, 0.0], [0.0, 0.0], [5.0]]
    ends = [[1, 0, 1], [1, 0, 1], [0, 1, 0]]
    mask = [[1, 0, 1], [1, 1, 1], [1, 1, 0]]
    turns = turn_trajectories(rewards, ends, mask, ["a", "a", "b"])
    assert turns.groups == [("a", 0), ("a", 1), ("a", 0), ("a", 1), ("b", 0)]
    assert turns.samples.tolist() == [0, 0, 1, 1, 2]
    advantages = grpo(turns.rewards, turns.groups, divide_by_std=False)
    assert turns.to_tokens(advantages).tolist() == [[0.5, 0, 0], [-0.5, 0, 0], [0, 0, 0]]
    assert turns.turn_of_token.tolist() == [[0, -1, 1], [2, 3, 3], [4, 4, -1]]


def test_a_turn_may_be_judged_by_what_came_after_too() -> None:
    turns = turn_trajectories(REWARDS, ENDS, MASK, ["a", "a"], discount=1.0)
    assert turns.rewards.tolist() == [5.0, 4.0, 4.0, 2.0]


def test_components_stay_apart_until_they_are_added_with_their_weights() -> None:
    total = add_components({"environment": [[0, 1.0]], "format": [[-1.0, 0]]}, {"format": 0.5})
    assert total.tolist() == [[-0.5, 1.0]]
    with pytest.raises(ValueError, match="fromat"):
        add_components({"format": [[0.0]]}, {"fromat": 0.5})
    with pytest.raises(ValueError, match=r"format \(1,\)"):
        add_components({"environment": [[0, 1.0]], "format": [0.0]})
