"""A command as a process: its exit code, and how little an error prints."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
from nemo_gym.cli.command import command
from nemo_gym.errors import *
def body(argv):
    {body}
command(body)
"""


def run(body: str, *argv: str) -> subprocess.CompletedProcess[str]:
    script = SCRIPT.format(body=body)
    return subprocess.run([sys.executable, "-c", script, *argv], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("return 0", 0, ""),
        ("return 3", 3, ""),
        ("raise ConfigError([ConfigProblem('a.yaml', 'x.y', 'wrong')])", 2, "a.yaml: `x.y`: wrong\n"),
        ("raise DataError('rows.jsonl', 3, 'no JSON')", 2, "rows.jsonl:3: no JSON\n"),
        ("raise LaunchError('maze died')", 1, "maze died\n"),
        ("raise KeyboardInterrupt", 130, ""),
    ],
)
def test_what_the_body_does_decides_the_exit_code_and_the_message(body, code, message):
    result = run(body)
    assert (result.returncode, result.stderr) == (code, message)


def test_the_body_gets_the_arguments_after_the_command():
    assert run("print(argv); return 0", "+a=1", "b").stdout == "['+a=1', 'b']\n"


def test_many_problems_become_ten_lines_of_which_the_last_counts_the_rest():
    result = run("raise ConfigError([ConfigProblem('a.yaml', f'k{i}', 'wrong') for i in range(25)])")
    lines = result.stderr.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "… and 16 more"


def test_a_defect_of_ours_keeps_its_stack_trace():
    result = run("raise ZeroDivisionError")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_a_reader_that_goes_away_causes_no_stack_trace():
    script = SCRIPT.format(body="print('line\\n' * 100000); return 0".replace("\n", "\\n"))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
