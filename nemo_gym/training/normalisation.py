"""Normalisation of rewards before advantages, with the names of RAGEN: who is compared (grouping), and how (method).

    grouping   `state`      rollouts of one task, that is of one starting state
               `inductive`  rollouts of one kind of task, such as all of one environment
               `batch`      all rollouts
    method     `identity`   r
               `mean`       r - mean
               `mean_std`   (r - mean) / (std + epsilon)
               `asym_clip`  `mean_std`, kept within [-1, 3]: a success may pull harder than a failure pushes

std is that of a sample. A group of equal rewards, or of one, gives zeros by every method but `identity`. A failed
rollout (None or NaN) stays out of mean and std, and gets zero.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, assert_never

import numpy as np

from nemo_gym.training.groups import FloatArray, Groups, Rewards

Grouping = Literal["state", "inductive", "batch"]
Method = Literal["identity", "mean", "mean_std", "asym_clip"]

CLIP = (-1.0, 3.0)
"""Bounds of `asym_clip`."""


def normalise_rewards(
    rewards: Rewards,
    *,
    grouping: Grouping,
    method: Method,
    states: Sequence[Hashable],
    kinds: Sequence[Hashable],
    epsilon: float = 1e-6,
) -> FloatArray:
    """[N] rewards → [N] normalised.

    `states` and `kinds` hold one id a rollout: the task it is of (`_ng_task_index`), and the kind of task (the
    environment's name). Only the one that `grouping` asks for is read.
    """
    groups = Groups.by_id(_ids(grouping, states, kinds, len(rewards)))
    statistics = groups.statistics(rewards)
    match method:
        case "identity":
            return statistics.values
        case "mean":
            return statistics.deviation
        case "mean_std":
            return statistics.standardised(groups, epsilon)
        case "asym_clip":
            return np.clip(statistics.standardised(groups, epsilon), *CLIP)
        case _:
            assert_never(method)


def _ids(
    grouping: Grouping, states: Sequence[Hashable], kinds: Sequence[Hashable], rollouts: int
) -> Sequence[Hashable]:
    match grouping:
        case "state":
            return states
        case "inductive":
            return kinds
        case "batch":
            return [None] * rollouts
        case _:
            assert_never(grouping)
