"""The pages on writing a model server and an agent work as printed, in an empty folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.documents import ROOT, bash_blocks, only, running, shell, write_files

pytestmark = pytest.mark.e2e


def test_a_model_server_written_from_the_page_passes_its_tests_and_answers(tmp_path: Path) -> None:
    page = ROOT / "docs" / "writing-a-model-server.md"
    commands = bash_blocks(page)
    write_files(page, tmp_path)
    assert "tests passed" in shell(only(commands, "ng_test"), tmp_path)
    assert "tests passed" in shell("ng_test +entrypoint=responses_api_models/upper_model", tmp_path)
    with running(only(commands, "ng_run"), tmp_path):
        assert "It is 42" in shell(only(commands, "curl"), tmp_path)


def test_an_agent_written_from_the_page_passes_its_tests_and_gets_rollouts(tmp_path: Path) -> None:
    page = ROOT / "docs" / "writing-an-agent.md"
    commands = bash_blocks(page)
    write_files(page, tmp_path)
    assert "tests passed" in shell(only(commands, "ng_test"), tmp_path)
    with running(only(commands, "ng_run"), tmp_path):
        shell(only(commands, "ng_collect_rollouts"), tmp_path)
    lines = (tmp_path / "results" / "second_look.jsonl").read_text(encoding="utf-8").splitlines()
    results = [json.loads(line) for line in lines]
    assert len(results) == 5 and 1.0 in {result["reward"] for result in results}
