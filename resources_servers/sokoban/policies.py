"""Reference policies for sokoban: `oracle`, `random`, `malformed`."""

from __future__ import annotations

from typing import Any

from nemo_gym.reference_policies import PolicyTurn, function_call, reasoning
from resources_servers.sokoban.level import ACTIONS, Level, solution

REWARD_RANGE = (-1.0, 1.0)
"""Ten malformed turns cost 0.1 each."""

GARBAGE = (
    "",
    "Push it right.",
    "<answer></answer>",
    "<answer>Right || Pull</answer>",
    "<answer>" + "Left || " * 2_000 + "</answer>",
    "</answer>Up<answer>",
    "<answer>1 || 2</answer>",
    "<answer>\u0000</answer>",
)


def oracle(turn: PolicyTurn) -> str:
    """The shortest solution, five moves a turn."""
    moves = solution(Level.parse((turn.row or {})["level"])) or []
    return f"<answer>{' || '.join(moves[5 * turn.step : 5 * turn.step + 5])}</answer>"


def guess(turn: PolicyTurn) -> str:
    """Five moves, each as likely."""
    return f"<answer>{' || '.join(turn.rng.choice(ACTIONS) for _ in range(5))}</answer>"


def malformed(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Garbage text, calls of tools that are not declared, reasoning only."""
    calls = [function_call("move", {"direction": "Up"})], [function_call("reset", {})]
    return turn.rng.choice((*GARBAGE, *calls, [reasoning("Hm.")]))


POLICIES = {"oracle": oracle, "random": guess, "malformed": malformed}
