"""Reference policies for example_multi_reward: `oracle`, `random` and `malformed`."""

from __future__ import annotations

from typing import Any

from nemo_gym.reference_policies import PolicyTurn, function_call, message, reasoning

REWARD_RANGE = (0.0, 3.0)
"""Three parts of at most 1.0 each."""


def oracle(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Makes the expected call and says nothing, not even once the tool has answered."""
    call = (turn.row or {}).get("expected_call")
    return [function_call(call["name"], call["arguments"])] if turn.step == 0 and call else ""


def guess(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Makes a call that is right, or has a wrong city or a bad unit; often talks."""
    call = (turn.row or {}).get("expected_call") or {"name": "get_weather", "arguments": {}}
    talk = [message("Let me see.")] if turn.rng.random() < 0.3 else []
    if turn.step > 0:
        return turn.rng.choice(("", "It is sunny."))
    changes = turn.rng.choice(({}, {}, {"city": "Atlantis"}, {"unit": "kelvin"}))
    return [*talk, function_call(call["name"], {**call["arguments"], **changes})]


def malformed(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Garbage: no text, reasoning only, tools that do not exist, arguments that are broken or of the wrong type."""
    answers = ("", "sunny " * 20_000, [reasoning("Sunny?")], [function_call("aggregate_metrics", {})])
    calls = ("{broken", "[]", "null", "{}", '{"city": 7, "unit": []}', '{"city": "Oslo", "x": 1}', "[" * 5_000)
    calls += ('{"city": NaN}', '{"city": ' + "9" * 5_000 + "}", '{"city": 1e999}', '{"city": "\\ud800"}')
    return turn.rng.choice((*answers, *([function_call("get_weather", arguments)] for arguments in calls)))


POLICIES = {"oracle": oracle, "random": guess, "malformed": malformed}
