"""Rollouts played for tests: an environment, the scripted model with toy tokens, and simple_agent in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nemo_gym.testclient import InProcessGym

ROOT = Path(__file__).resolve().parents[2]


async def play(
    environment: str,
    *,
    policy: str = "oracle",
    agent: dict[str, Any] | None = None,
    **model: Any,
) -> list[dict[str, Any]]:
    """One rollout of each example row, as a collection stores it: through JSON, with its indices."""
    folder = ROOT / "resources_servers" / environment
    async with InProcessGym() as gym:
        gym.add("environment", folder)
        gym.add(
            "policy_model",
            ROOT / "responses_api_models" / "scripted_model",
            **{"policy": policy, "environment": environment, "tokens": {"enabled": True}, **model},
        )
        gym.add(
            "agent",
            ROOT / "responses_api_agents" / "simple_agent",
            resources_server={"type": "resources_servers", "name": "environment"},
            model_server={"type": "responses_api_models", "name": "policy_model"},
            **(agent or {}),
        )
        stored = []
        for task, line in enumerate((folder / "data" / "example.jsonl").read_text(encoding="utf-8").splitlines()):
            answer = await gym.client.post("agent", "/run", {**json.loads(line), "_ng_task_index": task})
            answer.raise_for_status()
            stored.append({**answer.parse(), "_ng_task_index": task, "_ng_rollout_index": 0})
        return stored
