"""Groups of rollouts: those whose rewards are compared with each other, keyed by an id.

The reward of a failed rollout is None or NaN: it counts for no mean and no spread, and its own place is zero in
whatever is computed from the others. No function here or above answers NaN.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.intp]

Rewards = Sequence[float | None] | FloatArray
"""One reward a rollout; None or NaN: the rollout failed and has none."""


@dataclass(frozen=True)
class Groups:
    """Which group each of N rollouts belongs to; made by `Groups.by_id`, read by normalisation, filters, advantages."""

    ids: tuple[Hashable, ...]
    """The G ids, in order of first appearance."""
    index: IntArray
    """[N] position in `ids` of each rollout's group."""

    @classmethod
    def by_id(cls, ids: Sequence[Hashable]) -> Groups:
        """One id a rollout; equal ids are one group, wherever they stand."""
        places: dict[Hashable, int] = {}
        index = [places.setdefault(each, len(places)) for each in ids]
        return cls(ids=tuple(places), index=np.array(index, dtype=np.intp))

    def statistics(self, rewards: Rewards) -> GroupStatistics:
        """Mean, spread and size of every group. Raises ValueError where there is not one reward a rollout."""
        values = reward_array(rewards)
        if values.shape != self.index.shape:
            raise ValueError(f"{values.size} rewards for {self.index.size} group ids: give one id a rollout")
        scored = ~np.isnan(values)
        known = np.where(scored, values, 0.0)
        size = len(self.ids)
        count = np.bincount(self.index[scored], minlength=size)
        low, high = np.full(size, np.inf), np.full(size, -np.inf)
        np.minimum.at(low, self.index[scored], values[scored])
        np.maximum.at(high, self.index[scored], values[scored])
        differs = high > low
        total = np.bincount(self.index, weights=known, minlength=size)
        # Of equal rewards the mean is that reward to the last bit, so that no rounding error passes for a difference.
        mean = np.where(differs, total / np.maximum(count, 1), np.where(count > 0, low, 0.0))
        deviation = np.where(scored, known - mean[self.index], 0.0)
        squares = np.bincount(self.index, weights=deviation**2, minlength=size)
        std = np.where(differs, np.sqrt(squares / np.maximum(count - 1, 1)), 0.0)
        return GroupStatistics(values=known, scored=scored, count=count, mean=mean, std=std, deviation=deviation)


@dataclass(frozen=True)
class GroupStatistics:
    """What the scored rollouts of each of G groups have in common, and how each of N rollouts differs from it."""

    values: FloatArray
    """[N] rewards, zero where the rollout failed."""
    scored: BoolArray
    """[N] whether the rollout has a reward."""
    count: IntArray
    """[G] scored rollouts."""
    mean: FloatArray
    """[G] of the scored rewards; zero in a group without any."""
    std: FloatArray
    """[G] sample standard deviation (divided by count - 1); exactly zero for equal rewards and for one or none."""
    deviation: FloatArray
    """[N] reward - mean of its group; zero where the rollout failed."""

    def standardised(self, groups: Groups, epsilon: float) -> FloatArray:
        """[N] deviation / (std + epsilon)."""
        scale = self.std[groups.index] + epsilon
        # Zero stays zero with `epsilon` 0 too.
        return np.divide(self.deviation, scale, where=self.deviation != 0, out=np.zeros_like(self.deviation))


def reward_array(rewards: Rewards) -> FloatArray:
    """[N] with NaN for None. Raises ValueError on an infinite reward, which would spoil a whole group."""
    values = np.array(rewards, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"rewards have shape {values.shape}: give one number, or None, a rollout")
    if np.isinf(values).any():
        raise ValueError(f"reward of rollout {int(np.isinf(values).argmax())} is infinite")
    return values
