"""`ng_dump_config`: print the configuration that `ng_run` would use, as YAML, secrets masked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import yaml

from nemo_gym.cli.command import command
from nemo_gym.config.load import load_config
from nemo_gym.config.options import OptionsModel, help_text, wants_help
from nemo_gym.config.secrets import mask_secrets

COMMAND = "ng_dump_config"
SUMMARY = "print the merged, resolved and checked configuration as YAML, secrets masked"
EXAMPLE = (
    'ng_dump_config "+config_paths=[resources_servers/calendar/configs/calendar.yaml,'
    'responses_api_models/scripted_model/configs/scripted_model.yaml]"'
)


class DumpConfigOptions(OptionsModel):
    config_paths: list[str]
    """The config files, in rising precedence. Any other `+key=value` changes the configuration."""


def main() -> NoReturn:
    command(dump_config)


def dump_config(argv: list[str]) -> int:
    """Print the configuration. Raises `ConfigError` with every mistake in it."""
    if wants_help(argv):
        print(help_text(DumpConfigOptions, COMMAND, SUMMARY, EXAMPLE), end="")
        return 0
    config = load_config(argv, cwd=Path.cwd())
    yaml.safe_dump(mask_secrets(config.values), sys.stdout, sort_keys=False, allow_unicode=True, width=120)
    return 0
