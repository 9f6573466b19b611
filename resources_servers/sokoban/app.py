"""sokoban: push boxes onto targets, several moves a turn; reward 1.0 when all are there."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, StringConstraints

from nemo_gym.base_resources_server import BaseRunRequest, ReverifyMode
from nemo_gym.environments import EnvironmentServer
from nemo_gym.environments.action_game import ActionGameConfig, GameLimits
from resources_servers.sokoban.environment import RewardScale, Sokoban
from resources_servers.sokoban.level import Level

MAX_TURNS = 10


class SokobanConfig(ActionGameConfig):
    reward_scale: RewardScale = RewardScale.SUCCESS
    """`success` (1.0 at the end, else nothing) or `ragen` (every move counts)."""


def _is_a_level(lines: list[str]) -> list[str]:
    if Level.parse(lines).solved:
        raise ValueError("all boxes stand on targets already")
    return lines


class SokobanRow(BaseRunRequest):
    level: Annotated[
        list[Annotated[str, StringConstraints(max_length=40)]],
        Field(min_length=3, max_length=40),
        AfterValidator(_is_a_level),
    ]
    max_turns: int | None = Field(default=None, ge=1)


class SokobanServer(EnvironmentServer):
    config: SokobanConfig

    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.STATELESS

    async def make_environment(self, row: SokobanRow) -> Sokoban:
        limits = GameLimits.of(self.config, self.max_turns(row, MAX_TURNS))
        return Sokoban(Level.parse(row.level), scale=self.config.reward_scale, limits=limits)


if __name__ == "__main__":
    SokobanServer.run_webserver()
