"""Reference policies for frozen_lake: `oracle`, `random`, `malformed`."""

from __future__ import annotations

from typing import Any

from nemo_gym.reference_policies import PolicyTurn, function_call, reasoning
from resources_servers.frozen_lake.board import ACTIONS, shortest_path

REWARD_RANGE = (-1.0, 1.0)
"""Ten malformed turns cost 0.1 each."""

GARBAGE = (
    "",
    "Right, then down.",
    "<answer></answer>",
    "<answer>Right || Fly</answer>",
    "<answer>" + "Left || " * 2_000 + "</answer>",
    "<answer>" * 2_000,
    "<answer>0 || 1</answer>",
    "<answer>\u0000</answer>",
    "|| || ||",
)


def oracle(turn: PolicyTurn) -> str:
    """The shortest way, five moves a turn. On slippery ice it is no oracle."""
    path = shortest_path((turn.row or {})["board"]) or []
    return f"<think>The shortest way.</think><answer>{' || '.join(path[5 * turn.step : 5 * turn.step + 5])}</answer>"


def guess(turn: PolicyTurn) -> str:
    """One to five moves, each as likely."""
    moves = [turn.rng.choice(ACTIONS) for _ in range(turn.rng.randint(1, 5))]
    return f"<answer>{' || '.join(moves)}</answer>"


def malformed(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Garbage text, calls of tools that are not declared, reasoning only."""
    calls = [function_call("move", {"direction": "Right"})], [function_call("step", {"reward": 1})]
    return turn.rng.choice((*GARBAGE, *calls, [reasoning("Hm.")]))


POLICIES = {"oracle": oracle, "random": guess, "malformed": malformed}
