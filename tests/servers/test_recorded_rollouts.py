"""Answers that real models gave elsewhere, replayed through scripted_model, simple_agent and our servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.testclient import InProcessGym

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT.parent / "shared" / "fixtures" / "nemo_gym"
ENVIRONMENTS = {
    "calendar": ("calendar", "recorded.jsonl"),
    "example_single_tool_call": ("example_single_tool_call", "example_rollouts.jsonl"),
    "example_multi_step": ("example_multi_step", "example_rollouts.jsonl"),
    "example_session_state_mgmt": ("example_session_state_mgmt", "example_rollouts.jsonl"),
    "example_multi_reward": ("example_tool_call_multireward", "example_rollouts.jsonl"),
}
"""Our environment → the folder of its recordings, and the file there."""

pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"no recorded rollouts at {RECORDED}")


def read(*parts: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in RECORDED.joinpath(*parts).read_text(encoding="utf-8").splitlines()]


def said(row: dict[str, Any]) -> str:
    return json.dumps([(item["role"], item["content"]) for item in row["responses_create_params"]["input"]])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
async def test_a_replayed_rollout_gets_the_recorded_reward(environment: str) -> None:
    folder, file = ENVIRONMENTS[environment]
    rewards = {said(rollout): rollout["reward"] for rollout in read(folder, file)}
    model = {"type": "responses_api_models", "name": "policy_model"}
    async with InProcessGym() as gym:
        gym.add("environment", ROOT / "resources_servers" / environment)
        gym.add(
            "policy_model",
            ROOT / "responses_api_models" / "scripted_model",
            policy="recorded",
            recordings_fpath=str(RECORDED / folder / file),
        )
        gym.add(
            "agent",
            ROOT / "responses_api_agents" / "simple_agent",
            resources_server={"type": "resources_servers", "name": "environment"},
            model_server=model,
        )
        rows = read(folder, "example.jsonl")
        assert len(rows) == len(rewards) == 5
        for row in rows:
            result = (await gym.client.post("agent", "/run", row)).parse()
            assert result.get("reward") == rewards[said(row)], result.get("_ng_failure")
            assert result["stop_reason"] == "completed"


@pytest.mark.e2e
def test_the_recorded_calendar_rows_run_through_both_commands(tmp_path: Path) -> None:
    rows = RECORDED / "calendar" / "recorded.jsonl"
    configs = [ROOT / "responses_api_models/scripted_model/configs/scripted_model.yaml"]
    configs += [ROOT / "resources_servers/calendar/configs/calendar.yaml"]
    model = "++policy_model.responses_api_models.scripted_model"
    programs = Path(sys.executable).parent
    running = subprocess.Popen(
        [
            programs / "ng_run",
            f"+config_paths=[{','.join(map(str, configs))}]",
            f"{model}.policy=recorded",
            f"+policy_model.responses_api_models.scripted_model.recordings_fpath={rows}",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert running.stdout is not None
    try:
        said_so_far = ""
        for line in running.stdout:
            said_so_far += line
            if "are ready" in line:
                break
        else:
            pytest.fail(f"ng_run ended before its servers were ready:\n{said_so_far}")
        collected = subprocess.run(
            [
                programs / "ng_collect_rollouts",
                "+agent_name=calendar_agent",
                f"+input_jsonl_fpath={rows}",
                f"+output_jsonl_fpath={tmp_path / 'rollouts.jsonl'}",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(timeout=30)
    assert collected.returncode == 0, collected.stdout + collected.stderr
    results = [json.loads(line) for line in (tmp_path / "rollouts.jsonl").read_text(encoding="utf-8").splitlines()]
    recorded = {said(row): row["reward"] for row in read("calendar", "recorded.jsonl")}
    assert {said(result): result["reward"] for result in results} == recorded
