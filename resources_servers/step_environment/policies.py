"""Reference policies for step_environment as shipped: `oracle`, `random` and `malformed`."""

from __future__ import annotations

import re
from typing import Any

from nemo_gym.reference_policies import PolicyTurn, function_call, reasoning


def oracle(turn: PolicyTurn) -> str:
    """Halves what is left of the range, by what it was told."""
    low, high = _range(turn)
    middle = (low + high) // 2
    for item in turn.input[1:]:
        if item.get("role") == "user":
            low, high = (middle + 1, high) if "Higher" in str(item["content"]) else (low, middle - 1)
            middle = (low + high) // 2
    return str(middle)


def guess(turn: PolicyTurn) -> str:
    """Any number of the range, whatever it was told."""
    return f"Perhaps {turn.rng.randint(*_range(turn))}?"


def malformed(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Garbage: no number, a huge one, digits that are none, reasoning only, tools that do not exist."""
    answers: tuple[str | list[dict[str, Any]], ...] = ("", "no", "9" * 50_000, "٣٤", "-1e999", "\u0000")
    calls = [function_call("step", {"reward": 1})], [function_call("higher", "{")]
    return turn.rng.choice((*answers, *calls, [reasoning("Let me think.")]))


def _range(turn: PolicyTurn) -> tuple[int, int]:
    """Lowest and highest number, from the first message."""
    numbers = re.findall(r"\d+", str(turn.input[0]["content"]))
    return int(numbers[0]), int(numbers[1])


POLICIES = {"oracle": oracle, "random": guess, "malformed": malformed}
