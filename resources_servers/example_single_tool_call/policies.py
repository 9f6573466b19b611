"""Reference policies for example_single_tool_call: `oracle`, `random` and `malformed`."""

from __future__ import annotations

import json
from typing import Any

from nemo_gym.reference_policies import PolicyTurn, function_call, reasoning, tool_outputs

CITIES = ("Lagos", "Lima", "Oslo", "Osaka", "Perth", "Turin")


def oracle(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Asks for the weather of each expected city, then tells it."""
    cities = (turn.row or {}).get("expected_cities") or []
    if turn.step == 0 and cities:
        return [function_call("get_weather", {"city": city}) for city in cities]
    weather = [json.loads(output)["weather_description"] for output in tool_outputs(turn)]
    return " ".join(weather) or "Which city do you mean?"


def guess(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Asks about the expected city half of the time, else about any, or answers at once."""
    if turn.step == 0 and turn.rng.random() < 0.8:
        expected = (turn.row or {}).get("expected_cities") or []
        cities = expected if expected and turn.rng.random() < 0.6 else [turn.rng.choice(CITIES)]
        return [function_call("get_weather", {"city": city}) for city in cities]
    return "It is cold, I believe."


def malformed(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Garbage: no text, huge text, tools that do not exist, arguments that are broken or of the wrong type."""
    answers = ("", "cold " * 20_000, [reasoning("Cold?")], [function_call("get_wether", {"city": "Oslo"})])
    calls = ("{broken", "[]", "null", '{"city": 7}', "{}", '{"city": "' + "x" * 50_000 + '"}', "[" * 5_000)
    return turn.rng.choice((*answers, *([function_call("get_weather", arguments)] for arguments in calls)))


POLICIES = {"oracle": oracle, "random": guess, "malformed": malformed}
