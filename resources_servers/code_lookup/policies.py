"""Reference policies for code_lookup: `oracle`, `random` and `malformed`."""

from __future__ import annotations

import json
from typing import Any

from nemo_gym.reference_policies import PolicyTurn, function_call, reasoning, tool_outputs
from resources_servers.code_lookup.prepare import DOORS


def oracle(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Looks the code up, then answers with it."""
    if turn.step == 0:
        return [function_call("get_code", {"door": (turn.row or {})["door"]})]
    return f"Code: {json.loads(tool_outputs(turn)[-1])['code']}"


def guess(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Looks up one of two doors, the right one among them, then answers with what it was told, or with any digits."""
    if turn.step == 0:
        return [function_call("get_code", {"door": turn.rng.choice((*DOORS[:1], (turn.row or {})["door"]))})]
    told = json.loads(tool_outputs(turn)[-1]).get("code", "")
    return f"Code: {turn.rng.choice((told, str(turn.rng.randrange(1000))))}"


def malformed(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Garbage: no text, reasoning only, tools that do not exist, arguments that are broken or of the wrong type."""
    answers = ("", "Code:", "Code: " * 10_000, "Code: " + "9" * 50_000, "\u0000", [reasoning("Which door?")])
    arguments = ("{broken", "[]", "{}", '{"door": ["red"]}', '{"door": "no\ud83d\ude00ne"}', "[" * 5_000)
    calls = [function_call("seed_session", {}), function_call("verify", {"expected_code": "1"})]
    return turn.rng.choice(
        (*answers, *([call] for call in calls), *([function_call("get_code", text)] for text in arguments))
    )


POLICIES = {"oracle": oracle, "random": guess, "malformed": malformed}
