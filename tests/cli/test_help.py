"""`ng_help` and every command's own help: complete, and never more than a small terminal shows."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nemo_gym.cli.help import COMMANDS, show_help
from nemo_gym.config.options import HELP_HEIGHT, HELP_WIDTH

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
UMBRELLAS = {"ng", "gym"}
"""Scripts that stand for all commands."""


def printed_by(*argv: str) -> subprocess.CompletedProcess[str]:
    """What the command says, run as its script runs it."""
    name = argv[0].replace("-", "_")
    code = f"import sys; from nemo_gym.entry import {name}; sys.argv = {list(argv)!r}; sys.exit({name}())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_lists_exactly_the_commands_that_are_installed():
    scripts = tomllib.loads(PYPROJECT.read_text())["project"]["scripts"]
    assert sorted(each.name for each in COMMANDS) == sorted(scripts.keys() - UMBRELLAS)
    assert all(target == f"nemo_gym.entry:{name}" for name, target in scripts.items())


def test_help_prints_a_line_for_each_command_and_fits_a_small_terminal(capsys):
    assert show_help([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= HELP_HEIGHT and all(len(line) <= HELP_WIDTH for line in lines)
    for each in COMMANDS:
        assert any(line.split()[:1] == [each.name] and line.endswith(each.summary) for line in lines)


@pytest.mark.parametrize(("name", "question"), [*((each.name, "--help") for each in COMMANDS), ("ng_run", "-h")])
def test_each_commands_help_shows_an_example_and_fits_a_small_terminal(name: str, question: str):
    said = printed_by(name, question)
    lines = said.stdout.splitlines()
    assert (said.returncode, said.stderr) == (0, "")
    assert len(lines) <= HELP_HEIGHT, f"{len(lines)} lines"
    assert [line for line in lines if len(line) > HELP_WIDTH] == []
    assert "hydra" not in said.stdout.lower()
    assert any(line.startswith(f"  {name}") or line.startswith("  ng_") for line in lines), "an example"


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        *((each.name, "+no_such_option=1") for each in COMMANDS if each.name != "ng_help"),
        *(("ng_run", argument) for argument in ("--info", "--cfg=job", "+a={", "?")),
    ],
)
def test_what_no_command_knows_is_one_or_a_few_lines_without_a_stack_trace(name: str, argument: str):
    said = printed_by(name, argument)
    assert said.returncode == 2
    assert said.stdout == ""
    assert 1 <= len(said.stderr.splitlines()) <= 10
    assert "Traceback" not in said.stderr and "hydra" not in said.stderr.lower()


def test_ng_and_gym_stand_before_every_command():
    for umbrella in UMBRELLAS:
        assert printed_by(umbrella, "collect-rollouts", "--help").stdout.startswith("ng_collect_rollouts: ")
        assert printed_by(umbrella, "version").stdout == printed_by("ng_version").stdout
        assert printed_by(umbrella).stdout == printed_by("ng_help").stdout == printed_by(umbrella, "--help").stdout


def test_ng_tells_the_nearest_command_for_one_that_it_does_not_know():
    said = printed_by("ng", "colect-rollouts")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == "command line: `colect-rollouts`: is no command; did you mean `collect_rollouts`?\n"
