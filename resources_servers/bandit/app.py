"""bandit: pull one of several arms a turn; reward 1.0 for pulling the best one always."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Self

from pydantic import Field, model_validator

from nemo_gym.base_resources_server import BaseRunRequest, ReverifyMode
from nemo_gym.environments import EnvironmentServer
from nemo_gym.environments.action_game import ActionGameConfig, GameLimits
from resources_servers.bandit.environment import Arm, Bandit, RewardKind


class BanditConfig(ActionGameConfig):
    max_actions_per_turn: int = Field(default=1, ge=1)
    """Pulls in one turn at most."""
    reward_kind: RewardKind = RewardKind.EXPECTED
    """`expected` (the arm's average) or `payout` (what it paid)."""


class BanditRow(BaseRunRequest):
    arms: list[Arm] = Field(min_length=2, max_length=50)
    num_pulls: int = Field(default=1, ge=1, le=1000)
    seed: int = 0
    """Of the payouts: the n-th pull of an arm always pays the same."""

    @model_validator(mode="after")
    def _has_a_best_arm(self) -> Self:
        if len({arm.name.casefold() for arm in self.arms}) != len(self.arms):
            raise ValueError("`arms` must have different names")
        if max(arm.mean for arm in self.arms) <= 0:
            raise ValueError("the best of `arms` must pay more than 0 on average")
        return self


class BanditServer(EnvironmentServer):
    config: BanditConfig

    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.STATELESS

    async def make_environment(self, row: BanditRow) -> Bandit:
        limits = replace(GameLimits.of(self.config, self.max_turns(row, row.num_pulls)), max_actions=row.num_pulls)
        kind = self.config.reward_kind
        return Bandit(row.arms, num_pulls=row.num_pulls, seed=row.seed, kind=kind, limits=limits)


if __name__ == "__main__":
    BanditServer.run_webserver()
