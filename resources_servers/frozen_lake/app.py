"""frozen_lake: cross a frozen lake without falling into a hole; reward 1.0 at the goal, per turn."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, StringConstraints, model_validator

from nemo_gym.base_resources_server import BaseRunRequest, ReverifyMode
from nemo_gym.environments import EnvironmentConfig, EnvironmentServer
from resources_servers.frozen_lake.board import GOAL, START, Layout, Observation
from resources_servers.frozen_lake.environment import FrozenLake, Rules

MAX_TURNS = 10


class FrozenLakeConfig(EnvironmentConfig):
    max_actions_per_turn: int = Field(default=5, ge=1)
    """Moves in one turn at most; those beyond it are not made, and the turn counts as malformed."""
    max_episode_length: int = Field(default=50, ge=1)
    """Moves in an episode at most."""
    format_penalty: float = Field(default=0.1, ge=0)
    """Taken from the reward of a turn without moves in the right form."""
    layout: Layout = Layout.RAGEN
    """How boards are drawn: `ragen` or `gymnasium`. The row's own `layout` goes before it."""
    observation: Observation = Observation.GRID
    """What is shown: `grid`, `coordinates` or `both`. The row's own goes before it."""


class FrozenLakeRow(BaseRunRequest):
    board: list[Annotated[str, StringConstraints(pattern=r"^[SFHG]+$", max_length=64)]] = Field(
        min_length=1, max_length=64
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
        rules = Rules(
            max_turns=self.max_turns(row, MAX_TURNS),
            max_actions_per_turn=self.config.max_actions_per_turn,
            max_actions=self.config.max_episode_length,
            format_penalty=self.config.format_penalty,
            layout=row.layout or self.config.layout,
            observation=row.observation or self.config.observation,
        )
        return FrozenLake(row.board, is_slippery=row.is_slippery, seed=row.seed, rules=rules)


if __name__ == "__main__":
    FrozenLakeServer.run_webserver()
