"""Validation errors in one line each, naming the place as a user would write it: `input[3].type`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from nemo_gym.schemas.responses import ITEM_TAGS

_ITEM_TYPES = ("message", "function_call", "function_call_output", "reasoning")
_TYPE_ERRORS = frozenset({"union_tag_invalid", "union_tag_not_found"})


def explain(error: ValidationError) -> list[str]:
    """Each mistake as `place: what is wrong`."""
    return [f"{place}: {message}" if place else message for place, message in places(error.errors(include_url=False))]


def places(errors: Sequence[ErrorDetails]) -> list[tuple[str, str]]:
    """(place, message) of each pydantic error; the place is `""` where the body as a whole is meant."""
    return [(_place(error), _message(error)) for error in errors]


def _place(error: ErrorDetails) -> str:
    place = ""
    previous: object = None
    for part in error["loc"]:
        is_tag = part in ITEM_TAGS and (isinstance(previous, int) or previous == "input")
        previous = part
        if is_tag or (isinstance(part, str) and ("[" in part or "(" in part)):
            continue
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    if error["type"] in _TYPE_ERRORS:
        place += ".type"
    return place.lstrip(".").removeprefix("body.")


def _message(error: ErrorDetails) -> str:
    context = error.get("ctx") or {}
    if error["type"] == "union_tag_invalid":
        tag = str(context.get("tag"))[:100]
        near = difflib.get_close_matches(tag, _ITEM_TYPES, n=1)
        types = f"types are {', '.join(_ITEM_TYPES)}, or a hosted tool's"
        return f"`{tag}` is no item type; {f'did you mean `{near[0]}`?' if near else types}"
    if error["type"] == "union_tag_not_found":
        return "an item needs a `type` (or a `role`, if it is a message)"
    return str(error["msg"]).removeprefix("Value error, ")
