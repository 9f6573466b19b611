"""example_multi_turn: a user names amounts over three turns; each right total earns, the last one most."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from nemo_gym.base_resources_server import BaseRunRequest, ReverifyMode
from nemo_gym.environments import EnvironmentServer
from nemo_gym.environments.users import ScriptedUser, UserTurn
from resources_servers.example_multi_turn.environment import RunningTotal


class RunningTotalRow(BaseRunRequest):
    user_turns: list[UserTurn]
    """What the user says after the first message, which stands in `responses_create_params.input`."""
    totals: list[int] = Field(min_length=1)
    """The right total after each of the user's messages, the first included."""

    @model_validator(mode="after")
    def _each_message_has_its_total(self) -> Self:
        if len(self.totals) != len(self.user_turns) + 1:
            raise ValueError(f"{len(self.totals)} totals for {len(self.user_turns) + 1} messages of the user")
        return self


class MultiTurnServer(EnvironmentServer):
    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.STATELESS

    async def make_environment(self, row: RunningTotalRow) -> RunningTotal:
        return RunningTotal(ScriptedUser(row.user_turns), row.totals, self.max_turns(row, len(row.totals)))


if __name__ == "__main__":
    MultiTurnServer.run_webserver()
