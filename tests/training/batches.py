"""Small random batches of multi-turn samples, and the formulas of the pages written out as plain loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Batch:
    """Samples with gaps between turns, padding on both sides, and rewards at turn ends only; some of them zero."""

    turn_rewards: list[list[float]]
    rewards: np.ndarray[Any, Any]
    values: np.ndarray[Any, Any]
    loss_mask: np.ndarray[Any, Any]
    turn_end: np.ndarray[Any, Any]

    @property
    def estimated(self) -> tuple[Any, Any, Any, Any]:
        return self.rewards, self.values, self.loss_mask, self.turn_end


def random_batch(seed: int, *, most_turns: int = 4) -> Batch:
    """One to four samples of up to `most_turns` turns; a sample may have none. What is masked holds NaN values."""
    rng = np.random.default_rng(seed)
    masks, ends, rewards = [], [], []
    for _ in range(rng.integers(1, 5)):
        mask, own = [0] * int(rng.integers(0, 4)), []
        end = [0] * len(mask)
        for _ in range(rng.integers(0, most_turns + 1)):
            length, gap = int(rng.integers(1, 5)), int(rng.integers(0, 3))
            mask += [1] * length + [0] * gap
            end += [0] * (length - 1) + [1] + [0] * gap
            own.append(float(rng.choice([0.0, 1.0, rng.normal()])))
        masks.append(mask)
        ends.append(end)
        rewards.append(own)
    width = max(map(len, masks)) + int(rng.integers(1, 3))
    loss_mask = np.array([mask + [0] * (width - len(mask)) for mask in masks], dtype=bool)
    turn_end = np.array([end + [0] * (width - len(end)) for end in ends], dtype=bool)
    dense = np.zeros(loss_mask.shape)
    dense[turn_end] = [reward for own in rewards for reward in own]
    values = np.where(loss_mask, rng.normal(size=loss_mask.shape), np.nan)
    return Batch(turn_rewards=rewards, rewards=dense, values=values, loss_mask=loss_mask, turn_end=turn_end)


def looped_gae(batch: Batch, gamma: float, gae_lambda: float, bootstrap: float = 0.0) -> np.ndarray[Any, Any]:
    """A(t) = r(t) + γ·V(next) − V(t) + γλ·A(next), one token after another."""
    advantages = np.zeros(batch.rewards.shape)
    for row in range(len(advantages)):
        value, advantage = bootstrap, 0.0
        for token in np.flatnonzero(batch.loss_mask[row])[::-1]:
            own = batch.values[row, token]
            advantage = batch.rewards[row, token] + gamma * value - own + gamma * gae_lambda * advantage
            advantages[row, token], value = advantage, own
    return advantages


def looped_bi_level_gae(
    batch: Batch, gamma: float, gae_lambda: float, high_level_gamma: float, bootstrap: float = 0.0
) -> np.ndarray[Any, Any]:
    """The turn pass, then the token pass, one position after another."""
    advantages = np.zeros(batch.rewards.shape)
    for row in range(len(advantages)):
        value, advantage = bootstrap, 0.0
        for end in np.flatnonzero(batch.turn_end[row])[::-1]:
            own = batch.values[row, end]
            reward = batch.rewards[row, end]
            advantage = reward + high_level_gamma * value - own + high_level_gamma * gae_lambda * advantage
            advantages[row, end], value = advantage, own
        value = advantage = 0.0
        for token in np.flatnonzero(batch.loss_mask[row])[::-1]:
            own = batch.values[row, token]
            if batch.turn_end[row, token]:
                advantage = advantages[row, token]
            else:
                advantage = batch.rewards[row, token] + gamma * value - own + gamma * gae_lambda * advantage
            advantages[row, token], value = advantage, own
    return advantages


def looped_turn_gae(
    batch: Batch, gae_lambda: float, high_level_gamma: float, bootstrap: float = 0.0
) -> np.ndarray[Any, Any]:
    """One turn after another: what its tokens earned, against the value where it begins."""
    advantages = np.zeros(batch.rewards.shape)
    for row in range(len(advantages)):
        tokens = np.flatnonzero(batch.loss_mask[row])
        turn = np.cumsum(batch.turn_end[row, tokens]) - batch.turn_end[row, tokens]
        value, advantage = bootstrap, 0.0
        for k in sorted(set(turn.tolist()), reverse=True):
            own = tokens[turn == k]
            start, earned = batch.values[row, own[0]], batch.rewards[row, own].sum()
            advantage = earned + high_level_gamma * value - start + high_level_gamma * gae_lambda * advantage
            advantages[row, own], value = advantage, start
    return advantages
