"""Advantages of tokens for TRL's loss: the rewards of turns, credited and estimated as the options say."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from itertools import accumulate, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nemo_gym.training import advantages as estimators
from nemo_gym.training.credit import token_rewards, turn_trajectories
from nemo_gym.training.groups import BoolArray, FloatArray
from nemo_gym.training.trl.options import COMPARING, RolloutOptions
from nemo_gym.training.trl.rollout import TRLRollout

N = TypeVar("N", np.float64, np.bool_)


class Credited:
    """Rollouts side by side, all sequences of one after another: [B, T] completion tokens."""

    def __init__(self, rollouts: Sequence[TRLRollout], totals: Sequence[float | None]) -> None:
        """`totals`: each rollout's reward by all reward functions; what it holds beyond the rewards of its trained
        turns is the last one's. None: the rollout takes no part.
        """
        self.totals = totals
        lengths = [[len(one.completion_ids) for one in rollout.sequences] for rollout in rollouts]
        self._starts: list[list[int]] = [[*accumulate(row, initial=0)] for row in lengths]
        longest = max(starts[-1] for starts in self._starts)
        self.mask: BoolArray = np.zeros((len(rollouts), longest), dtype=np.bool_)
        self.turn_end: BoolArray = np.zeros_like(self.mask)
        self.turn_rewards: list[list[float] | None] = []
        for row, (rollout, total) in enumerate(zip(rollouts, totals, strict=True)):
            if total is None:
                self.turn_rewards.append(None)
                continue
            trained = [token for one in rollout.sequences for token in one.mask]
            ends = [token for one in rollout.sequences for token in one.turn_end]
            self.mask[row, : len(trained)], self.turn_end[row, : len(ends)] = trained, ends
            self.turn_rewards.append(_summing_to(total, [r for one in rollout.sequences for r in one.turn_rewards]))

    def spread(self, values: Sequence[FloatArray]) -> FloatArray:
        """[number of sequences] arrays [C] → [B, T]."""
        dense, given = np.zeros(self.mask.shape), iter(values)
        for row, starts in zip(dense, self._starts, strict=True):
            for start, end in pairwise(starts):
                row[start:end] = next(given)
        return dense

    def split(self, dense: NDArray[N]) -> list[NDArray[N]]:
        """[B, T] → [number of sequences] arrays [C]."""
        pieces: list[NDArray[N]] = []
        for row, starts in zip(dense, self._starts, strict=True):
            pieces += [row[start:end] for start, end in pairwise(starts)]
        return pieces


def advantages_of(
    credited: Credited,
    group_ids: Sequence[Hashable],
    options: RolloutOptions,
    *,
    divide_by_std: bool,
    values: FloatArray | None = None,
    bootstrap: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """[B, T] advantages and returns, zero but on trained tokens.

    `values` [B, T] and `bootstrap` [B] are the critic's, for the estimators that have one. Their advantages are
    whitened over the batch.
    """
    if options.estimator in COMPARING:
        compared = _compared(credited, group_ids, options, divide_by_std)
        return compared, compared
    rewards = token_rewards(
        "final" if options.credit == "final" else "turn", credited.turn_rewards, credited.turn_end, credited.mask
    )
    if options.estimator == "reinforce_plus_plus":
        whitened = estimators.reinforce_plus_plus(rewards, credited.mask, gamma=options.gamma)
        return whitened.advantages, whitened.returns
    assert values is not None and bootstrap is not None
    given = (rewards, values, credited.mask)
    gamma, high, smoothing = options.gamma, options.high_level_gamma, options.gae_lambda
    if options.estimator == "gae":
        answer = estimators.gae(*given, gamma=gamma, gae_lambda=smoothing, bootstrap=bootstrap)
    elif options.estimator == "turn_gae":
        answer = estimators.turn_gae(
            *given, credited.turn_end, high_level_gamma=high, gae_lambda=smoothing, bootstrap=bootstrap
        )
    else:
        answer = estimators.bi_level_gae(
            *given, credited.turn_end, gamma=gamma, high_level_gamma=high, gae_lambda=smoothing, bootstrap=bootstrap
        )
    return estimators.masked_whiten(answer.advantages, credited.mask), answer.returns


def _compared(
    credited: Credited, group_ids: Sequence[Hashable], options: RolloutOptions, divide_by_std: bool
) -> FloatArray:
    def compare(rewards: Sequence[float | None] | FloatArray, groups: Sequence[Hashable]) -> FloatArray:
        if options.estimator == "rloo":
            return estimators.rloo(rewards, groups)
        return estimators.grpo(rewards, groups, divide_by_std=divide_by_std)

    if options.credit == "final":
        return estimators.to_tokens(compare(credited.totals, group_ids), credited.mask)
    turns = turn_trajectories(
        credited.turn_rewards,
        credited.turn_end,
        credited.mask,
        group_ids,
        discount=options.gamma if options.credit == "return_to_go" else 0.0,
    )
    return turns.to_tokens(compare(turns.rewards, turns.groups))


def _summing_to(total: float, rewards: list[float]) -> list[float] | None:
    """The rewards of turns, the last one's such that they sum to `total`; None where there is no turn."""
    if not rewards:
        return None
    return [*rewards[:-1], rewards[-1] + total - math.fsum(rewards)]
