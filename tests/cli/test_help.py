"""`ng_help` knows every command that is installed, and no other."""

from __future__ import annotations

import tomllib
from pathlib import Path

from nemo_gym.cli.help import COMMANDS, show_help

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_help_lists_exactly_the_commands_that_are_installed():
    scripts = tomllib.loads(PYPROJECT.read_text())["project"]["scripts"]
    assert sorted(each.name for each in COMMANDS) == sorted(scripts)


def test_help_prints_a_line_and_an_example_for_each_command(capsys):
    assert show_help([]) == 0
    printed = capsys.readouterr().out
    for each in COMMANDS:
        assert f"{each.name}: {each.summary}\n" in printed
        assert each.example.startswith(each.name)
        assert each.example in printed
