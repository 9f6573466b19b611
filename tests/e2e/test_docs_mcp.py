"""The page `docs/mcp.md` works as printed: seed by curl, tools by the MCP client, verify by curl."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.documents import ROOT, bash_blocks, checkout_in, environment, running, shell

PAGE = ROOT / "docs" / "mcp.md"

pytestmark = pytest.mark.e2e


def block(language: str) -> str:
    """The page's one block in that language."""
    [text] = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return str(text)


def test_an_episode_over_mcp_gets_its_reward_as_the_page_shows(tmp_path: Path) -> None:
    folder = checkout_in(tmp_path)
    run, seed, verify = bash_blocks(PAGE)
    with running(run, folder):
        seeded = json.loads(shell(seed, folder))
        authorization = seeded["mcp"]["headers"].pop("Authorization")
        shown = json.loads(block("json"))
        assert shown["mcp"]["headers"].pop("Authorization") == "Bearer …"
        assert seeded == shown
        assert authorization in (folder / ".nemo_gym" / "latest" / "authorization").read_text()
        client = [sys.executable, "-c", block("python")]
        said = subprocess.run(
            client, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60, check=True
        ).stdout
        assert said.splitlines() == ["['increment_counter', 'get_counter_value']", '{"success":true}']
        assert json.loads(shell(verify, folder))["reward"] == 1.0
