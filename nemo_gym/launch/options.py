"""What the launcher is told: keys of the configuration, or options on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from nemo_gym.config.options import OptionsModel
from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.schemas.validation import explain


class LaunchOptions(OptionsModel):
    """Top-level keys of the configuration that the launcher reads."""

    on_server_exit: Literal["restart", "stop"] = "restart"
    """When a server that was ready dies: `restart` it, or `stop` the run."""
    max_restarts: int = Field(default=3, ge=0)
    """Restarts of one server before its death ends the run. Ten minutes of health set the count back."""
    shutdown_grace_s: float = Field(default=3.0, ge=0)
    """Seconds that servers get to end by themselves before they are killed."""
    start_timeout_s: float = Field(default=600.0, gt=0)
    """Seconds from its start until a server must be ready."""
    open_endpoints: bool = False
    """Answer everybody, without the run's token."""
    in_process: bool = False
    """Run everything in this one process: for a debugger, and cheaper."""
    reload: bool = False
    """Start a server again when its code is edited."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> LaunchOptions:
        """From a merged configuration, whose other keys are left alone. Raises ConfigError."""
        mine = {key: value for key, value in values.items() if key in LaunchOptions.model_fields and value is not None}
        try:
            return LaunchOptions.model_validate(mine)
        except ValidationError as error:
            problems = [ConfigProblem("configuration", *line.split(": ", 1)) for line in explain(error)]
        raise ConfigError(problems)
