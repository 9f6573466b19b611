"""Reference policies for example_multi_step: `oracle`, `random` and `malformed`."""

from __future__ import annotations

import json
from typing import Any

from nemo_gym.reference_policies import PolicyTurn, function_call, reasoning, tool_outputs


def oracle(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Looks up one synonym a step, in order, then extracts the values, then says so."""
    synonyms = (turn.row or {}).get("expected_synonyms", [])
    if turn.step < len(synonyms):
        return [function_call("get_synonym_value", {"synonym": synonyms[turn.step]})]
    values = [json.loads(output)["synonym_value"] for output in tool_outputs(turn)[: len(synonyms)]]
    if turn.step == len(synonyms):
        return [function_call("extract_synonym_values", {"synonym_values": values})]
    return f"The values are {values}."


def guess(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Extracts the right values in any order, sometimes with one missing or with the term's own."""
    row = turn.row or {}
    if turn.step > 0:
        return "Done."
    values = list(row.get("expected_synonym_values", [1]))
    turn.rng.shuffle(values)
    if turn.rng.random() < 0.3:
        values = values[1:]
    if turn.rng.random() < 0.3:
        values.append(row.get("minefield_label_value", 0))
    return [function_call("extract_synonym_values", {"synonym_values": values})]


def malformed(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Garbage: no text, reasoning only, tools that do not exist, arguments that are broken or of the wrong type."""
    extractions = ("{broken", "[]", '{"synonym_values": "711"}', '{"synonym_values": [true, 1.5, null]}', "[" * 5_000)
    answers = (
        "",
        "711 " * 20_000,
        [reasoning("Seven hundred?")],
        [function_call("seed_session", {})],
        [function_call("get_synonym_value", {"synonym": ["Warm"]})],
        [function_call("get_synonym_value", {"synonym": "\u0000\ud83d\ude00" * 10_000})],
        [function_call("extract_synonym_values", '{"synonym_values": [' + "9" * 5_000 + "]}")],
    )
    return turn.rng.choice((*answers, *([function_call("extract_synonym_values", text)] for text in extractions)))


POLICIES = {"oracle": oracle, "random": guess, "malformed": malformed}
