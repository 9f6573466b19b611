"""Advantages as a recipe says: its credit, its estimator, its discounts, over one batch of its samples."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nemo_gym.errors import ConfigError
from nemo_gym.training.advantages import (
    TokenAdvantages,
    bi_level_gae,
    gae,
    grpo,
    reinforce_plus_plus,
    rloo,
    to_tokens,
    turn_gae,
)
from nemo_gym.training.batch import Batch
from nemo_gym.training.credit import token_rewards
from nemo_gym.training.groups import FloatArray, Rewards
from nemo_gym.training.recipe import Recipe


def advantages_of(
    recipe: Recipe, batch: Batch, values: ArrayLike | None = None, *, bootstrap: ArrayLike = 0.0
) -> TokenAdvantages:
    """Advantages and returns [B, T] of a batch made of `recipe.shape` samples, zero outside its `loss_mask`.

    `values` [B, T] are the critic's, for the estimators that need one; `bootstrap` as they take it. What compares
    rollouts has no critic to teach: its returns are its advantages. All samples of a rollout, and all rollouts of a
    task, must be in the batch. Raises `ConfigError` where the estimator needs values and there are none.
    """
    if not recipe.needs_critic:
        return _without_critic(recipe, batch)
    if values is None:
        message = f"`{recipe.estimator}` needs a critic's value of each token; this trainer has none"
        raise ConfigError([recipe.problem("bi_level_gae" if "bi_level_gae" in recipe.key_of else "estimator", message)])
    rewards = _rewards(recipe, batch)
    high, gamma, decay = recipe.high_level_gamma, recipe.gamma, recipe.gae_lambda
    mask, ends = batch.loss_mask, batch.turn_end
    if recipe.estimator == "gae":
        return gae(rewards, values, mask, gamma=gamma, gae_lambda=decay, bootstrap=bootstrap)
    if recipe.estimator == "turn_gae":
        return turn_gae(rewards, values, mask, ends, high_level_gamma=high, gae_lambda=decay, bootstrap=bootstrap)
    return bi_level_gae(
        rewards, values, mask, ends, gamma=gamma, gae_lambda=decay, high_level_gamma=high, bootstrap=bootstrap
    )


def _rewards(recipe: Recipe, batch: Batch) -> FloatArray:
    return token_rewards(recipe.credit, batch.turn_rewards, batch.turn_end, batch.loss_mask)


def _without_critic(recipe: Recipe, batch: Batch) -> TokenAdvantages:
    if recipe.estimator == "reinforce_plus_plus":
        return reinforce_plus_plus(_rewards(recipe, batch), batch.loss_mask, gamma=recipe.gamma)
    if recipe.credit == "final":
        advantages = to_tokens(_of_rollouts(recipe, batch), batch.loss_mask)
    else:
        advantages = _of_turns(recipe, batch)
    return TokenAdvantages(advantages=advantages, returns=advantages)


def _compared(recipe: Recipe, rewards: Rewards, groups: list[Hashable]) -> FloatArray:
    if recipe.estimator == "rloo":
        return rloo(rewards, groups)
    return grpo(rewards, groups, divide_by_std=recipe.divide_by_std)


def _of_rollouts(recipe: Recipe, batch: Batch) -> FloatArray:
    """[B]: a rollout counts once in its group, however many samples it became."""
    first = {sample.trajectory_id: sample for sample in reversed(batch.samples)}
    place = {name: index for index, name in enumerate(first)}
    of_rollout = _compared(
        recipe, [one.episode_reward for one in first.values()], [one.group_id for one in first.values()]
    )
    return of_rollout[[place[sample.trajectory_id] for sample in batch.samples]]


@dataclass
class _PlayedTurn:
    """One turn, wherever its sample stands in the batch."""

    row: int
    turn: int
    reward: float
    is_trained: bool = True


def _of_turns(recipe: Recipe, batch: Batch) -> FloatArray:
    """[B, T]: each turn compared with the same turn of its task's other rollouts: by its own reward, or its return."""
    discount = recipe.gamma if recipe.credit == "return_to_go" else 0.0
    played: dict[str, list[_PlayedTurn]] = {}
    for row, sample in enumerate(batch.samples):
        for turn, reward in zip(sample.turns, sample.turn_rewards, strict=True):
            played.setdefault(sample.trajectory_id, []).append(_PlayedTurn(row, turn, float(reward)))
        if sample.dropped_turns:  # what they earned still counts for the turns before
            dropped = _PlayedTurn(row, sample.dropped_turns[-1], sample.dropped_reward, is_trained=False)
            played.setdefault(sample.trajectory_id, []).append(dropped)
    turns: list[_PlayedTurn] = []
    returns: list[float | None] = []
    for of_rollout in played.values():
        later = 0.0
        for one in sorted(of_rollout, key=lambda one: one.turn, reverse=True):
            later = one.reward + discount * later
            if one.is_trained:
                turns.append(one)
                returns.append(later)
    groups: list[Hashable] = [(batch.samples[one.row].group_id, one.turn) for one in turns]
    advantages: FloatArray = np.zeros(batch.loss_mask.shape)
    for one, advantage in zip(turns, _compared(recipe, returns, groups), strict=True):
        advantages[one.row, (batch.turn_id[one.row] == one.turn) & batch.loss_mask[one.row]] = advantage
    return advantages
