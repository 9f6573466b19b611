"""step_environment: serves any class with `step()` and `reset()`, or `is_completed()` and `env_response()`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import PrivateAttr

from nemo_gym.config.named_code import named_code
from nemo_gym.environments import ClassEnvironmentConfig, ClassEnvironmentServer
from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.schemas.episode import ReverifyMode
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.spec import ServerSpec

FOLDER = Path(__file__).resolve().parent


class StepEnvironmentConfig(ClassEnvironmentConfig):
    environment: str
    """The class: `package.module:Class` or `path/to/file.py:Class`, a path looked for in the working directory, then in
    this folder."""
    stateless: bool = True
    """Whether an episode follows from row and answers alone, so that stored rollouts can be scored again."""


class StepEnvironmentServer(ClassEnvironmentServer):
    config: StepEnvironmentConfig

    _class: type = PrivateAttr()

    @classmethod
    def from_spec(cls, spec: ServerSpec, client: ServerClient | None = None) -> Self:
        """Raises `ConfigError` where the class cannot be loaded."""
        server = super().from_spec(spec, client)
        try:
            found = named_code(server.config.environment, (Path(spec.working_dir).resolve(), FOLDER))
            if not isinstance(found, type):
                raise ValueError(f"`{server.config.environment}` is no class")
            server._class = found
        except ValueError as error:
            key = f"{spec.name}.{spec.server_type}.{spec.implementation}.environment"
            raise ConfigError([ConfigProblem(spec.source, key, str(error))]) from error
        return server

    def environment_type(self) -> type:
        return self._class

    async def _reverify_mode(self) -> str:
        return (ReverifyMode.STATELESS if self.config.stateless else ReverifyMode.UNSUPPORTED).value


if __name__ == "__main__":
    StepEnvironmentServer.run_webserver()
