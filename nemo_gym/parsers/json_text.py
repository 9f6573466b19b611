"""JSON in the midst of a text: its objects and lists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NoReturn

MAX_FAILED_STARTS = 32
"""So many places that look like JSON and are none are tried, so that no text takes more than linear time."""

OBJECT = re.compile(r'\{\s*["}]')
LIST = re.compile(r'\[\s*[\[{"\]0-9tfn-]')
LIST_OF_OBJECTS = re.compile(r"\[\s*\{")
OBJECT_OR_LIST = re.compile(f"{OBJECT.pattern}|{LIST.pattern}")


def json_values(
    text: str, start: re.Pattern[str] = OBJECT_OR_LIST, *, max_failed_starts: int = MAX_FAILED_STARTS
) -> Iterator[object]:
    """The JSON values in `text` that begin where `start` matches, from left to right, none inside another.

    Strict JSON: no NaN, no comments, no trailing commas. What is none, nested too deep or holds a number too long for
    Python is passed over; after `max_failed_starts` such places no more is read.
    """
    failed, position = 0, 0
    while failed < max_failed_starts and (match := start.search(text, position)) is not None:
        try:
            value, position = _DECODER.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            failed, position = failed + 1, match.start() + 1
            continue
        yield value


def first_json_object(text: str) -> dict[str, object] | None:
    """The first JSON object in `text`; None if there is none."""
    return next((value for value in json_values(text, OBJECT) if isinstance(value, dict)), None)


def last_json_object(text: str) -> dict[str, object] | None:
    """The last JSON object in `text` that is not inside another object; None if there is none."""
    return next((value for value in reversed(list(json_values(text, OBJECT))) if isinstance(value, dict)), None)


def first_json_list(text: str) -> list[object] | None:
    """The first JSON list in `text`, be it inside an object; None if there is none."""
    return next((value for value in json_values(text, LIST) if isinstance(value, list)), None)


def last_json_list(text: str) -> list[object] | None:
    """The last JSON list in `text` that is not inside another list; None if there is none."""
    return next((value for value in reversed(list(json_values(text, LIST))) if isinstance(value, list)), None)


def parse_json(text: str) -> object:
    """The value of a text that is JSON as a whole. Raises `ValueError` otherwise, also where it is nested too deep."""
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
