"""The page `docs/writing-a-resources-server.md` works as printed, in an empty folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.e2e.documents import ROOT, bash_blocks, only, running, shell, write_files

PAGE = ROOT / "docs" / "writing-a-resources-server.md"

pytestmark = pytest.mark.e2e


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder that holds the page's files and nothing else."""
    write_files(PAGE, tmp_path)
    return tmp_path


def test_a_server_written_from_the_page_passes_the_checker_and_gets_rollouts(project: Path) -> None:
    commands = bash_blocks(PAGE)
    checked = shell(only(commands, "python"), project)
    assert "oracle 1.000" in checked
    problems = [line for line in checked.splitlines() if line.startswith("  ")]
    assert problems == [
        "  warning: README.md is missing",
        "  warning: data/example_verify.json is missing",
        "  warning: tests/ holds no test_*.py",
    ]

    with running(only(commands, "ng_run"), project):
        shell(only(commands, "ng_collect_rollouts"), project)
    lines = (project / "results" / "exact_match.jsonl").read_text(encoding="utf-8").splitlines()
    rewards = [json.loads(line)["reward"] for line in lines]
    assert len(rewards) == 20
    assert {0.0, 1.0} == set(rewards), "the scripted model is right sometimes, and not always"


def test_the_page_shows_the_counter_as_the_example_server_has_it() -> None:
    source = (PAGE.parents[1] / "resources_servers" / "example_session_state_mgmt" / "app.py").read_text()
    shown = re.search(r"class CounterResourcesServer.*?^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert shown is not None
    signatures = re.findall(r"async def .*?:$", shown[0], re.MULTILINE)
    assert signatures and all(signature in source for signature in signatures)
