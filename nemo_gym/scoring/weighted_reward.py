"""A reward of several weighted parts, each of which stays visible."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class WeightedReward:
    """Parts that sum to the reward."""

    components: dict[str, float]
    """Weight times score, by name."""

    @property
    def reward(self) -> float:
        return math.fsum(self.components.values())

    def fields(self) -> dict[str, object]:
        """`reward` and `reward_components`, as `BaseMultiRewardVerifyResponse` takes them."""
        return {"reward": self.reward, "reward_components": self.components}


def weighted_reward(scores: Mapping[str, float], weights: Mapping[str, float]) -> WeightedReward:
    """The parts `weights[name] * scores[name]`. With scores of 0 to 1 and weights that sum to 1 the reward is 0 to 1.

    Raises `ValueError` where the names differ or a part is not finite: a forgotten part is a mistake, not a zero.
    """
    if scores.keys() != weights.keys():
        raise ValueError(f"scores are {sorted(scores)}, weights are {sorted(weights)}; they must be the same")
    components = {name: weights[name] * scores[name] for name in weights}
    for name, part in components.items():
        if not math.isfinite(part):
            raise ValueError(f"`{name}`: weight {weights[name]} times score {scores[name]} is not finite")
    return WeightedReward(components)
