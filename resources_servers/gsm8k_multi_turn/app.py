"""gsm8k_multi_turn: a word problem in several turns; a reward for each, 1.0 for the right number."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from nemo_gym.base_resources_server import BaseRunRequest, ReverifyMode
from nemo_gym.datasets.math_task import MathTask
from nemo_gym.environments import EnvironmentConfig, EnvironmentServer
from resources_servers.gsm8k_multi_turn.environment import Gsm8kMultiTurnEnvironment, StrictSkyrlEnvironment

DEFAULT_MAX_TURNS = 5


class Gsm8kMultiTurnConfig(EnvironmentConfig):
    strict_skyrl: bool = False
    """Whether episodes go as in skyrl-gym 0.4.0: its reading of answers, its feedback, the sum of all rewards."""


class ExtraInfo(BaseModel):
    """Where SkyRL's rows may hold the number of turns."""

    model_config = ConfigDict(extra="allow")

    max_turns: int | None = Field(default=None, ge=1)


class Gsm8kMultiTurnRow(MathTask, BaseRunRequest):
    max_turns: int | None = Field(default=None, ge=1)
    extra_info: ExtraInfo = ExtraInfo()


class Gsm8kMultiTurnServer(EnvironmentServer):
    config: Gsm8kMultiTurnConfig

    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.STATELESS

    async def make_environment(self, row: Gsm8kMultiTurnRow) -> Gsm8kMultiTurnEnvironment:  # type: ignore[override]
        kind = StrictSkyrlEnvironment if self.config.strict_skyrl else Gsm8kMultiTurnEnvironment
        return kind(row.answer, self.max_turns(row, default=DEFAULT_MAX_TURNS))

    def max_turns(self, row: Gsm8kMultiTurnRow, default: int) -> int:  # type: ignore[override]
        """The row's `max_turns`, else its `extra_info.max_turns`, else the configuration's, else `default`."""
        return row.max_turns or row.extra_info.max_turns or super().max_turns(row, default)


if __name__ == "__main__":
    Gsm8kMultiTurnServer.run_webserver()
