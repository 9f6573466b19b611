"""One episode of bandit: some pulls at arms that pay at random, one of them best on average."""

from __future__ import annotations

import math
import random
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from nemo_gym.environments.action_game import ActionGame, GameLimits

MOST = 1e6
"""Largest payout, and largest weight."""


class Arm(BaseModel):
    """One arm: what it may pay, each value as likely as its weight says."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^|<>]+$", max_length=40)]
    payouts: list[Annotated[float, Field(ge=0, le=MOST)]] = Field(min_length=1, max_length=100)
    weights: list[Annotated[float, Field(ge=0, le=MOST)]] | None = None
    """None: all payouts are equally likely."""

    @model_validator(mode="after")
    def _is_a_distribution(self) -> Self:
        weights = self.weights or [1.0] * len(self.payouts)
        if len(weights) != len(self.payouts) or sum(weights) <= 0:
            raise ValueError("`weights` must be one for each payout, with a sum above 0")
        return self

    @property
    def mean(self) -> float:
        """What the arm pays on average."""
        weights = self.weights or [1.0] * len(self.payouts)
        return math.fsum(map(math.prod, zip(self.payouts, weights, strict=True))) / math.fsum(weights)

    def pull(self, rng: random.Random) -> float:
        return rng.choices(self.payouts, self.weights)[0]


class RewardKind(StrEnum):
    """What a pull earns."""

    EXPECTED = "expected"
    """What the arm pays on average, as a share of what the best arm does, divided by the number of pulls: the best arm
    always pulled comes to 1.0. No luck is in it."""
    PAYOUT = "payout"
    """What the arm paid, divided by the number of pulls."""


class Bandit(ActionGame):
    tool: ClassVar[tuple[str, str]] = ("pull", "arm")

    def __init__(self, arms: list[Arm], *, num_pulls: int, seed: int, kind: RewardKind, limits: GameLimits) -> None:
        super().__init__(limits)
        self.actions = tuple(arm.name for arm in arms)
        self.arms = {arm.name: arm for arm in arms}
        self.best_mean = max(arm.mean for arm in arms)
        self.num_pulls, self.kind = num_pulls, kind
        # Each arm has luck of its own: its n-th pull pays the same whatever the other arms were pulled.
        self.luck = {arm.name: random.Random(f"{seed}/{arm.name}") for arm in arms}
        self.paid: list[tuple[str, float]] = []

    def act(self, action: str) -> float:
        arm = self.arms[action]
        payout = arm.pull(self.luck[action])
        self.paid.append((action, payout))
        self.ended = len(self.paid) == self.num_pulls
        self.success = self.ended and all(self.arms[name].mean == self.best_mean for name, _ in self.paid)
        value = arm.mean / self.best_mean if self.kind is RewardKind.EXPECTED else payout
        return value / self.num_pulls

    def show(self) -> str:
        return f"{self.paid[-1][0]} paid {self.paid[-1][1]:g}." if self.paid else "Nothing was pulled yet."

    def report(self) -> dict[str, Any]:
        best = sum(self.arms[name].mean == self.best_mean for name, _ in self.paid)
        return {
            **super().report(),
            "best_arm_share": best / self.num_pulls,
            "total_payout": math.fsum(p for _, p in self.paid),
        }
