"""`ng <command>`: every command under one name, `ng run` for `ng_run`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

from nemo_gym.cli.command import command
from nemo_gym.cli.help import COMMANDS, show_help
from nemo_gym.config.nearest import suggestion
from nemo_gym.errors import ConfigError, ConfigProblem

PREFIX = "ng_"


def main() -> NoReturn:
    """Become the command that is named first; without one, show which there are."""
    name = sys.argv[1] if len(sys.argv) > 1 else "help"
    known = {each.name.removeprefix(PREFIX) for each in COMMANDS}
    wanted = name.replace("-", "_").removeprefix(PREFIX)
    if wanted not in known:
        command(lambda argv: show_help(argv) if name in ("-h", "--help") else _refuse(name, known))
    sys.argv = [PREFIX + wanted, *sys.argv[2:]]
    import_module(f"nemo_gym.cli.{wanted}").main()
    raise AssertionError("a command ends the process")


def _refuse(name: str, known: set[str]) -> int:
    problem = ConfigProblem("command line", name, f"is no command; {suggestion(name, known, kind='commands')}")
    raise ConfigError([problem])
