"""ClassEnvironmentServer: serves a class of one of the two short forms, one object of it per session."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from nemo_gym.environments.env_response import EnvResponse, EnvResponseEpisode
from nemo_gym.environments.environment import Environment
from nemo_gym.environments.server import EnvironmentConfig, EnvironmentServer
from nemo_gym.environments.step_reset import StepReset, StepResetEpisode
from nemo_gym.errors import EnvironmentCodeError
from nemo_gym.schemas.episode import BaseRunRequest


class ClassEnvironmentConfig(EnvironmentConfig):
    environment_args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the class, by name. `max_turns`, where the row or the configuration sets it, is added."""


class ClassEnvironmentServer(EnvironmentServer):
    """Set `environment_class` to a subclass of `BaseEnvironment` or `MultiTurnEnv`, or to any class of their form."""

    config: ClassEnvironmentConfig

    environment_class: ClassVar[type | None] = None

    def environment_type(self) -> type:
        """The class that is served."""
        if self.environment_class is None:
            raise EnvironmentCodeError(f"{type(self).__name__} must set `environment_class`")
        return self.environment_class

    async def make_environment(self, row: BaseRunRequest) -> Environment:
        environment_type = self.environment_type()
        turns = self.max_turns(row, 0)
        arguments = {**self.config.environment_args, **({"max_turns": turns} if turns else {})}
        try:
            inner = environment_type(**arguments)
        except TypeError as error:
            raise EnvironmentCodeError(
                f"{environment_type.__name__} cannot be made from {arguments}: {error}"
            ) from error
        if isinstance(inner, EnvResponse):
            return EnvResponseEpisode(inner, row)
        if isinstance(inner, StepReset):
            return StepResetEpisode(inner, row)
        raise EnvironmentCodeError(
            f"{environment_type.__name__} is no environment: it needs `reset()` and `step(response, ground_truth)`, "
            "or `is_completed()`, `env_response()`, `rubric` and `max_turns`"
        )
