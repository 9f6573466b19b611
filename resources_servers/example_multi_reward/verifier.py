"""Tool-call verifier with three parts: was the right call made, do the arguments fit, and was nothing else said?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


@dataclass(frozen=True)
class Call:
    """A tool call; `arguments` is None where the model's text is not a JSON object."""

    name: str
    arguments: dict[str, object] | None


def parse_call(name: str, arguments: str) -> Call:
    try:
        parsed = orjson.loads(arguments)
    except ValueError:
        parsed = None
    return Call(name, parsed if isinstance(parsed, dict) else None)


def reward_components(
    calls: Sequence[Call], text: str, expected: Call, schemas: Mapping[str, Mapping[str, object]]
) -> dict[str, float]:
    """Each part is 1.0 or 0.0; the reward is their sum.

    `correctness`: the first call is the expected one. `schema_valid`: there are calls, and the arguments of each fit
    the JSON schema of its tool, from `schemas` by tool name. `format`: exactly one call and no text.
    """
    valid = [call.name in schemas and fits(call.arguments, schemas[call.name]) for call in calls]
    return {
        "correctness": float(bool(calls) and _same(calls[0], expected)),
        "schema_valid": float(bool(calls) and all(valid)),
        "format": float(len(calls) == 1 and not text.strip()),
    }


def fits(arguments: Mapping[str, object] | None, schema: Mapping[str, object]) -> bool:
    """Whether arguments fit an object schema: required and additional properties, and each property's type and enum."""
    if arguments is None:
        return False
    properties, required = schema.get("properties"), schema.get("required")
    properties = properties if isinstance(properties, dict) else {}
    if any(name not in arguments for name in (required if isinstance(required, list) else ())):
        return False
    if schema.get("additionalProperties") is False and any(name not in properties for name in arguments):
        return False
    return all(_fits_property(value, properties.get(name, {})) for name, value in arguments.items())


def _fits_property(value: object, schema: Mapping[str, object]) -> bool:
    names = schema.get("type", list(JSON_TYPES))
    names = names if isinstance(names, list) else [names]
    types = [kind for name in names for kind in JSON_TYPES.get(str(name), (object,))]
    if not any(type(value) is kind or kind is object for kind in types):
        return False
    allowed = schema.get("enum")
    return not isinstance(allowed, list) or value in allowed


def _same(call: Call, expected: Call) -> bool:
    return call.name == expected.name and _canonical(call.arguments) == _canonical(expected.arguments)


def _canonical(arguments: dict[str, object] | None) -> str:
    """JSON text, because Python holds `True` and `1` for equal."""
    return json.dumps(arguments, sort_keys=True)
