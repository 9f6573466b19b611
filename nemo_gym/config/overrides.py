"""Overrides: `+key=value` and its kin on the command line, in Hydra's grammar, with typed values."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType, QuotedString
from hydra.errors import HydraException

from nemo_gym.config.key_path import dotted
from nemo_gym.config.shown import shown
from nemo_gym.errors import ConfigProblem

COMMAND_LINE = "command line"
"""Stands for the file in problems that the command line has."""

GRAMMAR = "write `+key=value` to set, `key=value` to change what is there, `~key` to remove"

_KEY_PART = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*|0|[1-9][0-9]*")
_NEEDS_QUOTES = "=,()[]{}:#&;!<>^`\"'"


class Action(Enum):
    """What an override does to its key."""

    SET = "+"
    """`+key=value`, `++key=value`: sets it, whether or not it is there."""
    CHANGE = ""
    """`key=value`: it must be there."""
    REMOVE = "~"
    """`~key`: it must be there."""


@dataclass(frozen=True)
class Override:
    """One argument of the command line. Made by `parse_overrides`."""

    action: Action
    path: tuple[str, ...]
    """The dotted key, split."""
    value: Any
    """None, bool, int, float, str, or lists and dicts of them; None when removing."""
    text: str
    """The value as it was typed, without quotes around it."""

    @property
    def key(self) -> str:
        return ".".join(self.path)


def parse_overrides(argv: Sequence[str]) -> tuple[list[Override], list[ConfigProblem]]:
    """Every argument as an override, and a problem for each that is none. Raises nothing."""
    overrides: list[Override] = []
    problems: list[ConfigProblem] = []
    parser = OverridesParser.create()
    for argument in argv:
        parsed = _parse(parser, argument)
        if isinstance(parsed, Override):
            overrides.append(parsed)
        else:
            problems.append(parsed)
    return overrides, problems


def _parse(parser: OverridesParser, argument: str) -> Override | ConfigProblem:
    key, equals, text = argument.partition("=")
    path = tuple(key.lstrip("+~").split("."))
    name = dotted(path)
    shape_problem = _shape_problem(argument, key, equals)
    if shape_problem is not None:
        return ConfigProblem(COMMAND_LINE, "" if argument.startswith("-") or not equals else name, shape_problem)
    try:
        parsed = parser.parse_override(argument)
        if parsed.is_sweep_override():
            message = "several values are given; put a list into brackets, as in `[a,b]`, or the text into quotes"
            return ConfigProblem(COMMAND_LINE, name, message)
        value = parsed.value()
    except (HydraException, ValueError, RecursionError) as error:
        as_json = _json_container(text)
        if as_json is None or key.startswith("~"):
            return ConfigProblem(COMMAND_LINE, name, _value_problem(name, text, error))
        return Override(Action.SET if key.startswith("+") else Action.CHANGE, path, as_json, text)
    if parsed.type is OverrideType.DEL:
        return Override(Action.REMOVE, path, None, "")
    action = Action.CHANGE if parsed.type is OverrideType.CHANGE else Action.SET
    raw = parsed._value  # the public value() tells no longer whether there were quotes
    return Override(action, path, _plain(value), raw.text if isinstance(raw, QuotedString) else text.strip())


def _shape_problem(argument: str, key: str, equals: str) -> str | None:
    """What is wrong with the part before `=`, or None. The value is never shown: it may be a secret."""
    name = key.lstrip("+~")
    if argument.startswith("-"):
        option = key.lstrip("-").replace("-", "_")
        example = f"+{option}=…" if option.isidentifier() else "+key=…"
        return f"`{shown(key)}` is no option: write `{example}` (one `+`, no dashes)"
    if not equals and name.endswith((".yaml", ".yml")):
        return f"`{shown(key)}` sets nothing: name config files as in `+config_paths=[{shown(name)}]`"
    if not equals and not key.startswith("~"):
        return f"`{shown(key)}` sets nothing: {GRAMMAR}"
    if not name.strip():
        return f"a key is missing before `=`: {GRAMMAR}" if equals else f"a key is missing after `~`: {GRAMMAR}"
    if key[: len(key) - len(name)] not in {"", "+", "++", "~"}:
        return f"`{shown(key)}` starts with more signs than there are: {GRAMMAR}"
    for sign, meaning in (("/", "config groups"), ("@", "packages"), ("[", "indices in brackets"), (":", "colons")):
        if sign in name:
            return f"there are no {meaning} in keys; separate the parts of a key by dots, as in `a.b.0.c`"
    if any(not part for part in name.split(".")):
        return "the key has an empty part between its dots"
    if not all(_KEY_PART.fullmatch(part) for part in name.split(".")):
        return "the parts of a key are made of letters, digits, `_` and `-`, and start with a letter or `_`"
    return None


def _value_problem(name: str, text: str, error: Exception) -> str:
    opened = [pair for pair in ("[]", "{}", "()") if text.count(pair[0]) != text.count(pair[1])]
    if text[:1] in {"'", '"'} and (len(text) == 1 or text[-1] != text[0]):
        return f"the quote {text[0]} is not closed"
    if text[:1] in {"[", "{"} and opened:
        return f"`{opened[0][0]}` and `{opened[0][1]}` do not match up"
    if "while evaluating" in str(error):
        return f"looks like a function call that does not work; text needs quotes: \"{name}='…'\""
    signs = [sign for sign in _NEEDS_QUOTES if sign in text]
    reason = f"the value holds `{signs[0]}`" if signs else "the value has signs that mean something in this grammar"
    return f"{reason}: put quotes inside the shell's own, \"+{name}='…'\""


def _json_container(text: str) -> dict[str, Any] | list[Any] | None:
    """The value where it is a JSON object or list, which Hydra's grammar, wanting unquoted keys, does not take."""
    if text[:1] not in {"{", "["}:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _plain(value: object) -> Any:
    """Containers with text keys and quotes gone, down to the leaves."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_plain(child) for child in value]
    return value
