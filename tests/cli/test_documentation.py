"""`docs/cli.md` has every command with all its options and their defaults; the code in `docs/testing.md` works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nemo_gym.cli.help import COMMANDS
from tests.cli.test_help import printed_by

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
_OPTION_ROW = re.compile(r"^\| (`\w+`(?:, `\w+`)*) \|([^|]*)\|", re.MULTILINE)
_OPTION_HELP = re.compile(r"^[* ] \+(\w+)=(\S*)", re.MULTILINE)


def section(name: str) -> str:
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None, f"docs/cli.md has no section about {name}"
    return found[1]


@pytest.mark.parametrize("name", [each.name for each in COMMANDS])
def test_a_commands_options_and_defaults_are_those_on_the_page(name: str) -> None:
    help_text = printed_by(name, "--help").stdout
    options = dict(_OPTION_HELP.findall(help_text.partition("Options (")[2]))
    documented = {
        option: default.strip().strip("`")
        for options, default in _OPTION_ROW.findall(section(name))
        for option in options.replace("`", "").split(", ")
    }
    assert documented.keys() == options.keys()
    for option, default in options.items():
        if default and not documented[option].startswith("all"):
            assert documented[option] == default, option
    required = set(re.findall(r"^\* \+(\w+)=", help_text, re.MULTILINE))
    assert {option for option, default in documented.items() if default == "required"} == required


@pytest.mark.parametrize("name", [each.name for each in COMMANDS if each.name != "ng_help"])
def test_a_commands_section_shows_it_at_work(name: str) -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```", section(name), re.DOTALL | re.MULTILINE)
    assert any(line.startswith(name) for block in blocks for line in block.splitlines())


def test_the_tests_on_the_testing_page_pass(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "test_page.py").write_text("\n\n".join(blocks))
    command = [sys.executable, "-m", "pytest", "-q", str(tmp_path), "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout + done.stderr
