"""Where a program that embeds a gym, such as a trainer, has its configuration from."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import Container, OmegaConf
from pydantic import BaseModel, ConfigDict, Field, field_validator

from nemo_gym.config.instance import GymConfig
from nemo_gym.config.load import ENV_FILE, load_config


class GlobalConfigDictParserConfig(BaseModel):
    """Sources of a configuration. Made by the program; `load` reads them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    initial_global_config_dict: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Values as in a config file, `config_paths` included: a dict or an OmegaConf DictConfig. They win over files.
    References (`${...}`) and `???` are kept until everything is merged."""
    skip_load_from_cli: bool = False
    """Whether `+key=value` arguments of the program itself are left alone; else they win over everything."""
    dotenv_path: Path | None = None
    """File read in place of `env.yaml` in the working directory. It need not exist."""
    skip_load_from_dotenv: bool = False
    hide_secrets: bool = False
    """Without effect, as secrets are never shown."""

    @field_validator("initial_global_config_dict", mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return {} if value is None else plain(value)

    def load(self, cwd: Path) -> GymConfig:
        """The whole configuration, paths looked up in `cwd`. Raises `ConfigError` with every mistake found."""
        return load_config(
            () if self.skip_load_from_cli else sys.argv[1:],
            cwd=cwd,
            initial=self.initial_global_config_dict,
            env_file=None if self.skip_load_from_dotenv else self.dotenv_path or Path(ENV_FILE),
        )


def plain(value: object) -> object:
    """A copy in dicts and lists only; OmegaConf containers may stand at any depth."""
    if isinstance(value, Container):
        return OmegaConf.to_container(value, resolve=False)
    if isinstance(value, Mapping):
        return {key: plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [plain(child) for child in value]
    return str(value) if isinstance(value, Path) else value
