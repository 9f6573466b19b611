"""Group filters: which groups a step learns from, by how much the rewards within them differ.

A group whose rollouts all got the same reward teaches nothing by comparison. Each filter keeps the groups with the
greatest standard deviation of reward and reports how much it kept; where deviations are equal, the earlier group
goes first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nemo_gym.training.groups import BoolArray, FloatArray, Groups, IntArray, Rewards

Share = Literal["linear", "softmax"]


@dataclass(frozen=True)
class Kept:
    """What a filter kept."""

    rollouts: BoolArray
    """[N] whether the rollout stays: its group was kept, and it has a reward."""
    groups: int
    """Groups kept."""
    of_groups: int
    """Groups there were, with those in which every rollout failed; these are never kept."""

    @property
    def ratio(self) -> float:
        """Groups kept of all groups; 0.0 where there were none."""
        return self.groups / self.of_groups if self.of_groups else 0.0


def top_p(rewards: Rewards, group_ids: Sequence[Hashable], p: float, *, share: Share = "linear") -> Kept:
    """The fewest groups that together hold the share `p`, in (0, 1], of all spread.

    A group's share is std / sum of std (`linear`) or softmax(std) (`softmax`). By `linear`, groups without spread
    have no share and so are left out even at p = 1; where no group has any, all shares are equal.
    """
    _require(0 < p <= 1, f"top_p takes p in (0, 1], not {p}")

    def choose(std: FloatArray) -> IntArray:
        order = _by_spread(std)
        weights = np.exp(std - std.max(initial=0.0)) if share == "softmax" or not std.any() else std
        held = np.cumsum(weights[order])
        # The sum of all shares may miss 1 by rounding, which must not ask for a group more.
        return order[: 1 + int(np.searchsorted(held, p * held[-1] * (1 - 1e-12)))]

    return _filter(rewards, group_ids, choose)


def top_k(rewards: Rewards, group_ids: Sequence[Hashable], fraction: float) -> Kept:
    """The fraction, in (0, 1], of all groups, rounded down, but at least one."""
    _require(
        0 < fraction <= 1, f"top_k takes a fraction in (0, 1], not {fraction}; a number of groups goes to top_k_abs"
    )
    number = max(1, int(fraction * len(set(group_ids)) + 1e-9))
    return _filter(rewards, group_ids, lambda std: _by_spread(std)[:number])


def top_k_abs(rewards: Rewards, group_ids: Sequence[Hashable], number: int) -> Kept:
    """That many groups, or all where there are fewer."""
    _require(number >= 1, f"top_k_abs takes a number of groups from 1, not {number}")
    return _filter(rewards, group_ids, lambda std: _by_spread(std)[:number])


def min_p(rewards: Rewards, group_ids: Sequence[Hashable], p: float) -> Kept:
    """All groups with at least `p`, in [0, 1], times the greatest spread."""
    _require(0 <= p <= 1, f"min_p takes p in [0, 1], not {p}")
    return _filter(rewards, group_ids, lambda std: np.flatnonzero(std >= p * std.max(initial=0.0)))


def _filter(rewards: Rewards, group_ids: Sequence[Hashable], choose: Callable[[FloatArray], IntArray]) -> Kept:
    """Apply `choose`, from [C] deviations to positions in them, to the C groups with at least one scored rollout."""
    groups = Groups.by_id(group_ids)
    statistics = groups.statistics(rewards)
    candidates = np.flatnonzero(statistics.count)
    chosen = candidates[choose(statistics.std[candidates])] if candidates.size else candidates
    kept = np.zeros(len(groups.ids), dtype=np.bool_)
    kept[chosen] = True
    return Kept(rollouts=kept[groups.index] & statistics.scored, groups=chosen.size, of_groups=len(groups.ids))


def _by_spread(std: FloatArray) -> IntArray:
    return np.argsort(-std, kind="stable")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
