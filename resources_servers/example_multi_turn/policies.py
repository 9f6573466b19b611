"""Reference policies for example_multi_turn: `oracle`, `random` and `malformed`."""

from __future__ import annotations

from typing import Any

from nemo_gym.reference_policies import PolicyTurn, function_call, reasoning

HIGHEST_GUESS = 20


def oracle(turn: PolicyTurn) -> str:
    """Knows the totals."""
    assert turn.row is not None
    return f"Noted. Total: {turn.row['totals'][turn.step]}"


def guess(turn: PolicyTurn) -> str:
    """Any total from 1 to 20."""
    return f"Total: {turn.rng.randint(1, HIGHEST_GUESS)}"


def malformed(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Garbage: no total, huge ones, other digits, tools that do not exist."""
    answers = (
        "",
        "Seven.",
        "Total: " + "9" * 5_000,
        "total:" * 20_000,
        "Total: ٧",
        "<think>Total: 7",
        "Total: \u0000\ud83d",
        [reasoning("Seven?")],
        [function_call("verify", {"reward": 1.0})],
        [function_call("add", "{broken")],
    )
    return turn.rng.choice(answers)


POLICIES = {"oracle": oracle, "random": guess, "malformed": malformed}
