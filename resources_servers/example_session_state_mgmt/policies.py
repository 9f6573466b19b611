"""Reference policies for example_session_state_mgmt: `oracle`, `random` and `malformed`."""

from __future__ import annotations

import re
from typing import Any

from nemo_gym.reference_policies import PolicyTurn, function_call, reasoning, tool_outputs


def oracle(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Makes each addition that the user asks for, then reads the counter, then tells it."""
    if turn.step == 0:
        return [function_call("increment_counter", {"count": number}) for number in _numbers(turn)]
    if turn.step == 1:
        return [function_call("get_counter_value", {})]
    return f"The counter says {tool_outputs(turn)[-1]}"


def guess(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Leaves out some of the additions."""
    numbers = [number for number in _numbers(turn) if turn.rng.random() < 0.8]
    if turn.step == 0 and numbers:
        return [function_call("increment_counter", {"count": number}) for number in numbers]
    return "Done."


def malformed(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Garbage: no text, reasoning only, tools that do not exist, arguments that are broken or of the wrong type."""
    answers = ("", "1 " * 20_000, [reasoning("One more.")], [function_call("verify", {"expected_count": 0})])
    counts = ("{broken", "[]", "{}", '{"count": "1"}', '{"count": true}', '{"count": 1.5}', '{"count": 1e999}')
    counts += ('{"count": ' + "9" * 5_000 + "}", "[" * 5_000)
    return turn.rng.choice((*answers, *([function_call("increment_counter", arguments)] for arguments in counts)))


def _numbers(turn: PolicyTurn) -> list[int]:
    """The numbers in the last user message, which are what is to be added."""
    asked = [item["content"] for item in turn.input if item.get("role") == "user"]
    return [int(number) for number in re.findall(r"-?\d+", str(asked[-1]))] if asked else []


POLICIES = {"oracle": oracle, "random": guess, "malformed": malformed}
