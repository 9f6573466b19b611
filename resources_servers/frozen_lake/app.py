"""frozen_lake: cross a frozen lake without falling into a hole; reward 1.0 at the goal, per turn."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, StringConstraints, model_validator

from nemo_gym.base_resources_server import BaseRunRequest, ReverifyMode
from nemo_gym.environments import EnvironmentServer
from nemo_gym.environments.action_game import ActionGameConfig, GameLimits
from resources_servers.frozen_lake.board import GOAL, START, Layout, Observation
from resources_servers.frozen_lake.environment import FrozenLake

MAX_TURNS = 10
MAX_SIZE = 16
"""Lines and columns of a board: each session holds the game's whole table of moves."""


class FrozenLakeConfig(ActionGameConfig):
    layout: Layout = Layout.RAGEN
    """How boards are drawn: `ragen` or `gymnasium`. The row's own `layout` goes before it."""
    observation: Observation = Observation.GRID
    """What is shown: `grid`, `coordinates` or `both`. The row's own goes before it."""


class FrozenLakeRow(BaseRunRequest):
    board: list[Annotated[str, StringConstraints(pattern=r"^[SFHG]+$", max_length=MAX_SIZE)]] = Field(
        min_length=1, max_length=MAX_SIZE
    )
    is_slippery: bool = False
    seed: int = Field(default=0, ge=0)
    """Of the slips: the same moves slip the same way."""
    max_turns: int | None = Field(default=None, ge=1)
    layout: Layout | None = None
    observation: Observation | None = None

    @model_validator(mode="after")
    def _is_a_board(self) -> Self:
        if len({len(line) for line in self.board}) != 1:
            raise ValueError("the lines of `board` must be equally long")
        if any("".join(self.board).count(cell) != 1 for cell in (START, GOAL)) or self.board[0][0] != START:
            raise ValueError("`board` needs one S, in its upper left corner, and one G")
        return self


class FrozenLakeServer(EnvironmentServer):
    config: FrozenLakeConfig

    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.STATELESS

    async def make_environment(self, row: FrozenLakeRow) -> FrozenLake:
        return FrozenLake(
            row.board,
            is_slippery=row.is_slippery,
            seed=row.seed,
            layout=row.layout or self.config.layout,
            observation=row.observation or self.config.observation,
            limits=GameLimits.of(self.config, self.max_turns(row, MAX_TURNS)),
        )


if __name__ == "__main__":
    FrozenLakeServer.run_webserver()
