"""Reference policies for bandit: `oracle`, `random`, `malformed`."""

from __future__ import annotations

from typing import Any

from nemo_gym.reference_policies import PolicyTurn, function_call, reasoning
from resources_servers.bandit.environment import Arm

REWARD_RANGE = (-0.5, 1.0)
"""Five malformed turns cost 0.1 each."""

GARBAGE = ("", "The first.", "<answer></answer>", "<answer>Basilisk</answer>", "<answer>" + "|| " * 5_000 + "</answer>")


def oracle(turn: PolicyTurn) -> str:
    """The arm that pays best on average."""
    return f"<answer>{max(_arms(turn), key=lambda arm: arm.mean).name}</answer>"


def guess(turn: PolicyTurn) -> str:
    """Any arm."""
    return f"<answer>{turn.rng.choice(_arms(turn)).name}</answer>"


def malformed(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Garbage text, calls of tools that are not declared, reasoning only."""
    calls = [function_call("pull", {"arm": 7})], [function_call("verify", {})]
    return turn.rng.choice((*GARBAGE, *calls, [reasoning("Hm.")]))


def _arms(turn: PolicyTurn) -> list[Arm]:
    return [Arm.model_validate(arm) for arm in (turn.row or {})["arms"]]


POLICIES = {"oracle": oracle, "random": guess, "malformed": malformed}
