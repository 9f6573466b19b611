"""The page `docs/writing-a-multi-turn-environment.md` works as printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.documents import ROOT, bash_blocks, checkout_in, running, shell, write_files

PAGE = ROOT / "docs" / "writing-a-multi-turn-environment.md"
QUICK_START, COLLECT_CALENDAR, SERVE_BEE, COLLECT_BEE, CHECK_HAGGLE = bash_blocks(PAGE)
SCRIPTED = "responses_api_models/scripted_model/configs/scripted_model.yaml"

pytestmark = pytest.mark.e2e


def rollouts(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_quick_start_collects_from_the_endpoint_in_env_yaml(tmp_path: Path) -> None:
    """Its commands are the ones that NeMo Gym's own page has; the endpoint is a scripted model of another run."""
    for name in ("endpoint", "user"):
        (tmp_path / name).mkdir()
        checkout_in(tmp_path / name)
    endpoint = (
        f'ng_run "+config_paths=[{SCRIPTED}]" ++head_server.port=18131 +open_endpoints=true '
        "++policy_model.responses_api_models.scripted_model.environment=calendar "
        "++policy_model.responses_api_models.scripted_model.policy=oracle "
        "++policy_model.responses_api_models.scripted_model.port=18130"
    )
    (tmp_path / "user" / "env.yaml").write_text(
        "policy_base_url: http://127.0.0.1:18130/v1\npolicy_api_key: key\npolicy_model_name: any\n"
    )
    with running(endpoint, tmp_path / "endpoint"), running(as_one_command(QUICK_START), tmp_path / "user"):
        shell(COLLECT_CALENDAR, tmp_path / "user")
    results = rollouts(tmp_path / "user" / "results" / "calendar_rollouts.jsonl")
    assert [result["reward"] for result in results] == [1.0] * 5


def as_one_command(block: str) -> str:
    """A block that sets a variable first, for `exec`."""
    return f"bash -c '{block}'"


def test_an_environment_in_ten_lines_gets_rollouts(tmp_path: Path) -> None:
    write_files(PAGE, checkout_in(tmp_path))
    with running(SERVE_BEE, tmp_path):
        shell(COLLECT_BEE, tmp_path)
    for result in rollouts(tmp_path / "results" / "bee.jsonl"):
        shown = {key: result[key] for key in ("reward", "mode", "stop_reason", "turn_rewards")}
        assert shown == {"reward": 1.0, "mode": "multi_turn", "stop_reason": "terminated", "turn_rewards": [0.0, 1.0]}
        assert [turn["terminated"] for turn in result["turns"]] == [False, True]


def test_a_server_written_from_the_page_passes_the_checker(tmp_path: Path) -> None:
    write_files(PAGE, tmp_path)
    checked = shell(CHECK_HAGGLE, tmp_path)
    assert "oracle 1.000" in checked
    problems = [line for line in checked.splitlines() if line.startswith("  ")]
    assert problems == [
        "  warning: README.md is missing",
        "  warning: data/example_verify.json is missing",
        "  warning: tests/ holds no test_*.py",
    ]
