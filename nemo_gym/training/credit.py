"""Credit: where the rewards of turns go, as token-level rewards.

    `final`               the trajectory's return, on its last trained token
    `turn`                each turn's reward, on that turn's last trained token
    `return_to_go`        what each turn and those after it earned, on that turn's last trained token
    `turn_as_trajectory`  each turn's reward on its last trained token, and each turn compared with the same turn
                          of the other rollouts of its task (`turn_trajectories`)

Shapes: B samples of T tokens, padded. `turn_end` [B, T] marks the last trained token of each turn and lies within
`loss_mask` [B, T]. `turn_rewards` holds, for each sample, one number for each of its turn ends, in order; None
stands for a failed rollout, which has neither rewards nor trained tokens. Turn ends are always given, never found by
looking for rewards that are not zero: a turn may well earn nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
from numpy.typing import ArrayLike

from nemo_gym.training.chains import Chains
from nemo_gym.training.groups import BoolArray, FloatArray, IntArray

Credit = Literal["final", "turn", "return_to_go", "turn_as_trajectory"]
TurnRewards = Sequence[Sequence[float] | FloatArray | None]
"""[B] lists, each of one reward a turn end; None: the rollout failed."""


def token_rewards(
    credit: Credit,
    turn_rewards: TurnRewards,
    turn_end: ArrayLike,
    loss_mask: ArrayLike,
    *,
    discount: float = 1.0,
    trajectory_rewards: Sequence[float | None] | None = None,
) -> FloatArray:
    """[B, T] token-level rewards, zero but at turn ends.

    `discount` is that of a later turn, for `return_to_go`. `trajectory_rewards` are for `final`: the reward of each
    whole rollout, where the verifier gave one that is not the sum of its turns'; by default it is that sum.
    Raises ValueError where the shapes, turn ends and rewards do not fit each other, naming the sample.
    """
    match credit:
        case "final":
            return final(turn_rewards, turn_end, loss_mask, trajectory_rewards=trajectory_rewards)
        case "turn" | "turn_as_trajectory":
            return turn(turn_rewards, turn_end, loss_mask)
        case "return_to_go":
            return return_to_go(turn_rewards, turn_end, loss_mask, discount=discount)
        case _:
            assert_never(credit)


def final(
    turn_rewards: TurnRewards,
    turn_end: ArrayLike,
    loss_mask: ArrayLike,
    *,
    trajectory_rewards: Sequence[float | None] | None = None,
) -> FloatArray:
    """[B, T] with R = sum over k of r_k, or the trajectory's reward where given, on the last turn end."""
    turns = _Turns.of(turn_rewards, turn_end, loss_mask)
    returns = np.bincount(turns.chains.rows, weights=turns.rewards, minlength=turns.chains.lengths.size)
    if trajectory_rewards is not None:
        if len(trajectory_rewards) != returns.size:
            raise ValueError(f"{len(trajectory_rewards)} trajectory rewards for {returns.size} samples")
        returns = np.nan_to_num(np.array(trajectory_rewards, dtype=np.float64))
    on_last = np.zeros_like(turns.rewards)
    filled = turns.chains.lengths > 0
    if (returns[~filled] != 0).any():
        sample = int(np.flatnonzero(~filled & (returns != 0))[0])
        raise ValueError(f"sample {sample} has a reward but no turn end to put it on: mask it, with reward None")
    on_last[turns.chains.last] = returns[filled]
    return turns.chains.to_dense(on_last)


def turn(turn_rewards: TurnRewards, turn_end: ArrayLike, loss_mask: ArrayLike) -> FloatArray:
    """[B, T] with r_k on turn end k."""
    turns = _Turns.of(turn_rewards, turn_end, loss_mask)
    return turns.chains.to_dense(turns.rewards)


def return_to_go(
    turn_rewards: TurnRewards, turn_end: ArrayLike, loss_mask: ArrayLike, *, discount: float = 1.0
) -> FloatArray:
    """[B, T] with G_k = r_k + discount · G_(k+1) on turn end k.

    These are returns already: not for an estimator that sums rewards over time itself, such as `gae`.
    """
    turns = _Turns.of(turn_rewards, turn_end, loss_mask)
    return turns.chains.to_dense(turns.chains.accumulate(turns.rewards, discount))


@dataclass(frozen=True)
class TurnTrajectories:
    """M turns of a batch, each as if it were a trajectory of its own; made by `turn_trajectories`, read by trainers."""

    rewards: FloatArray
    """[M] what each turn is judged by."""
    groups: list[tuple[Hashable, int]]
    """[M] (the sample's group, number of the turn from 0): what each turn is compared with."""
    samples: IntArray
    """[M] the sample that each is a turn of."""
    turn_of_token: IntArray
    """[B, T] position among the M of the turn that a trained token belongs to; -1 elsewhere."""

    def to_tokens(self, advantages: ArrayLike) -> FloatArray:
        """[M] advantages of turns → [B, T] on their trained tokens, zero elsewhere."""
        # The zero at the end is what -1 picks.
        return np.append(np.asarray(advantages, dtype=np.float64), 0.0)[self.turn_of_token]


def turn_trajectories(
    turn_rewards: TurnRewards,
    turn_end: ArrayLike,
    loss_mask: ArrayLike,
    group_ids: Sequence[Hashable],
    *,
    discount: float = 0.0,
) -> TurnTrajectories:
    """Every turn as a member of the group (task, turn).

    It is judged by its own reward, or with a `discount` above 0 also by what came after: G_k = r_k + discount ·
    G_(k+1). A group in which only one rollout got so far has one member, whose advantage is zero by every comparing
    estimator.
    """
    turns = _Turns.of(turn_rewards, turn_end, loss_mask)
    if len(group_ids) != turns.chains.lengths.size:
        raise ValueError(f"{len(group_ids)} group ids for {turns.chains.lengths.size} samples")
    samples, number = turns.chains.rows, turns.chains.from_start
    ends_before: IntArray = np.cumsum(turns.ends.ravel()).reshape(turns.ends.shape) - turns.ends
    return TurnTrajectories(
        rewards=turns.chains.accumulate(turns.rewards, discount),
        groups=[(group_ids[sample], int(turn)) for sample, turn in zip(samples, number, strict=True)],
        samples=samples,
        turn_of_token=np.where(turns.trained, ends_before, -1),
    )


def add_components(components: Mapping[str, ArrayLike], weights: Mapping[str, float] | None = None) -> FloatArray:
    """Sum of reward components of one shape (environment, format, KL, ...), each times its weight (1.0 by default).

    They stay apart until here, so that each can be logged and weighed. Raises ValueError for a weight of no
    component.
    """
    weights = weights or {}
    if unknown := weights.keys() - components.keys():
        raise ValueError(f"weights for {sorted(unknown)}: components are {sorted(components)}")
    parts = [weights.get(name, 1.0) * np.asarray(part, dtype=np.float64) for name, part in components.items()]
    if len({part.shape for part in parts}) > 1:
        shapes = ", ".join(f"{name} {part.shape}" for name, part in zip(components, parts, strict=True))
        raise ValueError(f"components differ in shape: {shapes}")
    total: FloatArray = np.sum(parts, axis=0)
    return total


@dataclass(frozen=True)
class _Turns:
    """Turn ends and rewards that were found to fit each other."""

    chains: Chains
    """The turn ends of each sample."""
    rewards: FloatArray
    """Of each turn end, packed as `chains` packs."""
    ends: BoolArray
    trained: BoolArray

    @classmethod
    def of(cls, turn_rewards: TurnRewards, turn_end: ArrayLike, loss_mask: ArrayLike) -> _Turns:
        ends, trained = np.asarray(turn_end, dtype=np.bool_), np.asarray(loss_mask, dtype=np.bool_)
        if ends.ndim != 2 or ends.shape != trained.shape or ends.shape[0] != len(turn_rewards):
            shapes = f"turn_end {ends.shape}, loss_mask {trained.shape}, turn rewards of {len(turn_rewards)} samples"
            raise ValueError(f"{shapes}: give [samples, tokens] twice, and one list of rewards a sample")
        if (ends & ~trained).any():
            sample, token = np.argwhere(ends & ~trained)[0]
            raise ValueError(f"sample {sample} has a turn end on token {token}, which is not trained")
        # A trained token after the last turn end would get no reward at all, whatever the option.
        ends_from_here = np.logical_or.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
        if (trained & ~ends_from_here).any():
            sample = np.argwhere(trained & ~ends_from_here)[0][0]
            raise ValueError(
                f"sample {sample} has trained tokens after its last turn end: its last one must end a turn"
            )
        chains = Chains.of(ends)
        for sample, (rewards, count) in enumerate(zip(turn_rewards, chains.lengths, strict=True)):
            if _count(rewards) != count:
                raise ValueError(f"sample {sample} has {_count(rewards)} turn rewards and {count} turn ends")
        packed = np.array(
            [reward for rewards in turn_rewards for reward in (() if rewards is None else rewards)], dtype=np.float64
        )
        if not np.isfinite(packed).all():
            sample = chains.rows[~np.isfinite(packed)][0]
            raise ValueError(
                f"sample {sample} has a turn reward that is not a number: a failed rollout is masked, None"
            )
        return cls(chains=chains, rewards=packed, ends=ends, trained=trained)


def _count(rewards: Sequence[float] | FloatArray | None) -> int:
    return 0 if rewards is None else len(rewards)
