"""`ng_dump_config`: print the configuration that `ng_run` would use, as YAML, secrets masked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import yaml
from pydantic import Field

from nemo_gym.cli.command import command
from nemo_gym.config.options import OptionsModel, help_text, parse_options, wants_help
from nemo_gym.config.secrets import mask_secrets
from nemo_gym.training.recipe_config import load_with_recipe

COMMAND = "ng_dump_config"
SUMMARY = "print the merged, resolved and checked configuration as YAML, secrets masked"
EXAMPLE = (
    'ng_dump_config "+config_paths=[resources_servers/calendar/configs/calendar.yaml,'
    'responses_api_models/scripted_model/configs/scripted_model.yaml]"'
)


class DumpConfigOptions(OptionsModel):
    config_paths: list[str] = Field(default_factory=list)
    """The config files, in rising precedence. Any other `+key=value` changes the configuration."""
    recipe: Path | None = None
    """A training recipe: the environment it names, and its limits."""


def main() -> NoReturn:
    command(dump_config)


def dump_config(argv: list[str]) -> int:
    """Print the configuration. Raises `ConfigError` with every mistake in it."""
    if wants_help(argv):
        print(help_text(DumpConfigOptions, COMMAND, SUMMARY, EXAMPLE), end="")
        return 0
    typed = parse_options(argv, DumpConfigOptions, command=COMMAND, with_config=True)
    config = load_with_recipe(typed.recipe, argv, cwd=Path.cwd(), options=("recipe",))
    yaml.safe_dump(mask_secrets(config.values), sys.stdout, sort_keys=False, allow_unicode=True, width=120)
    return 0
