"""Gyms for tests: environments before a scripted policy that tells its tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nemo_gym.training.rollouts import RunningGym, with_agent

ROOT = Path(__file__).resolve().parents[2]
LAKE, MATH, TOOLS = "frozen_lake", "gsm8k", "example_multi_step"
FORKING = "forking_agent"

Json = dict[str, Any]

POLICY: Json = {"policy": {"oracle": 0.5, "random": 0.5, "malformed": 0.0}, "tokens": {"enabled": True}}
"""It does not always win, and says nothing that is very long."""


def start(*environments: str, **model: Any) -> RunningGym:
    """Servers of these environments, by default of all three, and `FORKING` where the lake is among them."""
    names = environments or (LAKE, MATH, TOOLS)
    return RunningGym.start(
        {
            "config_paths": [
                "responses_api_models/scripted_model/configs/scripted_model.yaml",
                *(f"resources_servers/{name}/configs/{name}.yaml" for name in names),
            ],
            "policy_model": {"responses_api_models": {"scripted_model": {**POLICY, **model}}},
            **({FORKING: _forking_agent()} if LAKE in names else {}),
        }
    )


def rows_of(environment: str, agent: str | None = None) -> list[Json]:
    """The environment's example rows, for its own agent or another."""
    lines = (ROOT / "resources_servers" / environment / "data" / "example.jsonl").read_text().splitlines()
    return [with_agent(json.loads(line), agent or f"{environment}_simple_agent") for line in lines]


def _forking_agent() -> Json:
    """Tells the model all its turns as one message, so that no prompt extends the one before."""
    settings = {
        "entrypoint": "app.py",
        "use_conversation_multi_turn": False,
        "resources_server": {"type": "resources_servers", "name": LAKE},
        "model_server": {"type": "responses_api_models", "name": "policy_model"},
    }
    return {"responses_api_agents": {"simple_agent": settings}}
