"""Samples side by side: padding is no token of anybody, and credit and advantages take the arrays as they are."""

from __future__ import annotations

import numpy as np
import pytest

from nemo_gym.errors import TrajectoryError
from nemo_gym.training.advantages import gae, grpo, to_tokens
from nemo_gym.training.batch import batch_of
from nemo_gym.training.credit import token_rewards
from nemo_gym.training.samples import samples_of
from nemo_gym.training.trajectory import trajectories_of, trajectory_of
from tests.training.played import play
from tests.training.stored_rollouts import Said, failed, rollout_of, turn_of

SHORT = rollout_of(turn_of(Said([1, 2], [3, 4], [-0.1, -0.2], 1.0)))
LONG = rollout_of(turn_of(Said([1, 2], [5], [-0.3], 0.25)), turn_of(Said([1, 2, 5, 9, 9], [6, 7], [-0.4, -0.5], 0.5)))


def test_samples_of_different_length_are_padded_on_the_right() -> None:
    samples = [sample for rollout in (SHORT, LONG, failed(LONG)) for sample in samples_of(trajectory_of(rollout))]
    batch = batch_of(samples, pad_id=0, multiple_of=4)
    assert batch.ids.tolist()[:2] == [[1, 2, 3, 4, 0, 0, 0, 0], [1, 2, 5, 9, 9, 6, 7, 0]]
    assert batch.attention_mask.sum(axis=1).tolist()[:2] == [4, 7]
    assert batch.loss_mask.astype(int).tolist() == [[0, 0, 1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 1, 1, 0], [0] * 8]
    assert batch.turn_id.tolist()[1] == [-1, -1, 0, -1, -1, 1, 1, -1]
    assert batch.log_probs.tolist()[1] == [0, 0, -0.3, 0, 0, -0.4, -0.5, 0]
    assert batch.episode_rewards == [1.0, 0.75, None] and batch.turn_rewards[2] is None
    assert set(batch.group_ids) == {"3"}
    for row, sample in zip(batch.ids, samples, strict=True):
        assert row[: len(sample.ids)].tolist() == sample.ids.tolist()


def test_credit_and_advantages_take_the_arrays_as_they_are() -> None:
    batch = batch_of([sample for one in (SHORT, LONG) for sample in samples_of(trajectory_of(one))], pad_id=0)
    rewards = token_rewards("turn", batch.turn_rewards, batch.turn_end, batch.loss_mask)
    assert rewards.sum(axis=1).tolist() == batch.episode_rewards
    values = np.zeros(batch.ids.shape)
    assert gae(rewards, values, batch.loss_mask).advantages[1].tolist() == [0, 0, 0.75, 0, 0, 0.5, 0.5]
    spread = to_tokens(grpo(batch.episode_rewards, batch.group_ids, divide_by_std=False), batch.loss_mask)
    assert spread[0].tolist() == [0, 0, 0.125, 0.125, 0, 0, 0]


async def test_played_rollouts_become_a_batch_without_losing_a_token() -> None:
    trajectories = trajectories_of(await play("frozen_lake", policy="random"))
    samples = [sample for trajectory in trajectories for sample in samples_of(trajectory, "step_wise")]
    batch = batch_of(samples, pad_id=-1, multiple_of=8)
    sampled = [call.generated_ids for trajectory in trajectories for call in trajectory.calls]
    assert batch.ids[batch.loss_mask].tolist() == np.concatenate(sampled).tolist()
    assert batch.ids.shape[1] % 8 == 0 and not batch.attention_mask[batch.ids == -1].any()


def test_nothing_is_no_batch() -> None:
    with pytest.raises(TrajectoryError, match="at least one sample"):
        batch_of([], pad_id=0)
    with pytest.raises(TrajectoryError, match="multiple_of"):
        batch_of(samples_of(trajectory_of(SHORT)), pad_id=0, multiple_of=0)
