"""A command's options: `+key=value` arguments become a pydantic model, and its help becomes one screen."""

from __future__ import annotations

import textwrap
import types
from collections.abc import Collection, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from nemo_gym.config.key_path import dotted
from nemo_gym.config.nearest import suggestion
from nemo_gym.config.overrides import COMMAND_LINE, GRAMMAR, Action, Override, parse_overrides
from nemo_gym.config.secrets import is_secret_key
from nemo_gym.config.shown import shown
from nemo_gym.config.tree import ConfigTree
from nemo_gym.errors import ConfigError, ConfigProblem

HELP_WIDTH = 80
"""With `HELP_HEIGHT` lines, a terminal of the size that everyone has."""
HELP_HEIGHT = 24


class OptionsModel(BaseModel):
    """Base of a command's options. The text under a field is its line in the help."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


Options = TypeVar("Options", bound=OptionsModel)


def parse_options(
    argv: Sequence[str],
    model: type[Options],
    *,
    command: str,
    ignore: Collection[str] = (),
    with_config: bool = False,
) -> Options:
    """The command's options from `+key=value` arguments (`key=value` and `++key=value` mean the same).

    `ignore` names keys that something else reads. `with_config`: every key that is no option belongs to the
    configuration and is left to `load_config(…, options=model.model_fields)`, which reports misspelt ones.

    Raises `ConfigError` with every argument that cannot be read, unknown key and unsuitable value.
    """
    overrides, problems = parse_overrides(argv)
    unreadable = {problem.key.split(".")[0] for problem in problems}
    known = list(model.model_fields)
    if with_config:  # load_config reads the same arguments and reports the others
        problems = [problem for problem in problems if problem.key.split(".")[0] in known]
    tree = ConfigTree()
    for override in overrides:
        name = override.path[0]
        if name in ignore or (with_config and name not in known):
            continue
        problem = _apply(tree, override, model, command)
        if problem is not None:
            problems.append(problem)
    try:
        options = model.model_validate(tree.values)
    except ValidationError as error:
        wrong = _explain(error, model, command)
        problems.extend(problem for problem in wrong if problem.key not in unreadable)
    if problems:
        raise ConfigError(problems)
    return options


def _apply(tree: ConfigTree, override: Override, model: type[OptionsModel], command: str) -> ConfigProblem | None:
    name = override.path[0]
    field = model.model_fields.get(name)
    if field is None:
        message = f"is no option of {command}; {suggestion(name, model.model_fields, kind='options')}"
        return ConfigProblem(COMMAND_LINE, name, message)
    if override.action is Action.REMOVE:
        return ConfigProblem(COMMAND_LINE, name, f"an option cannot be removed: {GRAMMAR}")
    is_text = len(override.path) == 1 and override.value is not None and _wants_text(field.annotation)
    value = override.text if is_text and not isinstance(override.value, dict | list) else override.value
    return tree.apply(Override(Action.SET, override.path, value, override.text))


def _wants_text(annotation: object) -> bool:
    """Whether the option is a text or path, so that `1e5` or `true` is to be taken as typed."""
    parts = set(get_args(annotation)) if _is_union(annotation) else {annotation}
    return parts - {type(None)} <= {str, Path}


def _is_union(annotation: object) -> bool:
    return get_origin(annotation) in {Union, types.UnionType}


def _explain(error: ValidationError, model: type[OptionsModel], command: str) -> list[ConfigProblem]:
    problems: dict[str, ConfigProblem] = {}
    for each in error.errors(include_url=False):
        # Places inside a union carry the member's type, which means nothing to users.
        path = tuple(part for part in each["loc"] if part not in _UNION_TAGS)
        key = dotted(path)
        field = model.model_fields.get(str(each["loc"][0])) if each["loc"] else None
        if each["type"] == "missing":
            message = f"is required by {command}: add `+{key}=…`"
        elif field is not None and len(path) == 1 and each["type"] != "value_error":
            instead = "" if is_secret_key(key) else f", not `{shown(each['input'])}`"
            message = f"must be {_type_text(field.annotation)}{_bounds(each)}{instead}"
        else:
            message = str(each["msg"]).removeprefix("Value error, ")
        problems.setdefault(key, ConfigProblem(COMMAND_LINE, key, message))
    return list(problems.values())


_UNION_TAGS = frozenset({"int", "float", "str", "bool", "list", "dict", "none"})
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def _bounds(error: Any) -> str:
    context = error.get("ctx") or {}
    return "".join(f", {words} {context[bound]}" for bound, words in _BOUNDS.items() if bound in context)


def _type_text(annotation: object) -> str:
    if _is_union(annotation):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        return " or ".join(dict.fromkeys(_type_text(part) for part in parts))
    names: dict[object, str] = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text",
        Path: "a path",
    }
    if annotation in names:
        return names[annotation]
    origin = get_origin(annotation)
    if origin is Literal or (isinstance(annotation, type) and issubclass(annotation, Enum)):
        choices = get_args(annotation) if origin is Literal else [choice.value for choice in annotation]  # type: ignore
        return "one of " + ", ".join(f"`{choice}`" for choice in choices)
    if origin in {list, tuple, set, frozenset} or annotation in {list, tuple}:
        return "a list like `[a,b]`"
    return "a mapping like `{key: value}`"


# Help


def wants_help(argv: Sequence[str]) -> bool:
    """Whether the arguments ask for the help text."""
    return any(argument in {"-h", "--help", "help"} for argument in argv)


def help_text(model: type[OptionsModel], command: str, summary: str, example: str) -> str:
    """What `<command> --help` prints: what it does, an example that can be pasted, the options."""
    lines = [*textwrap.wrap(f"{command}: {summary}", HELP_WIDTH), "", *_shell_lines(example), ""]
    rows = [(_usage(name, field), field) for name, field in model.model_fields.items()]
    width = max((len(usage) for usage, _ in rows), default=0)
    if rows:
        lines.append("Options (* must be given):")
    for usage, field in rows:
        mark = "*" if field.is_required() else " "
        described = textwrap.wrap(_first_sentence(field.description), HELP_WIDTH - width - 4) or [""]
        lines.append(f"{mark} {usage:<{width}}  {described[0]}".rstrip())
        lines.extend(" " * (width + 4) + rest for rest in described[1:])
    return "\n".join(lines).rstrip() + "\n"


def _shell_lines(example: str) -> list[str]:
    """The example, continued on further lines where it is too wide: between arguments, or within a quoted list."""
    lines: list[str] = []
    for word in example.split(" "):
        if not lines:
            lines.append(f"  {word}")
        elif len(lines[-1]) + len(word) + 3 <= HELP_WIDTH:
            lines[-1] += f" {word}"
        elif len(word) + 8 <= HELP_WIDTH or "," not in word:
            lines[-1] += " \\"
            lines.append(f"      {word}")
        else:  # inside double quotes a shell joins lines without a blank, so these stand at the margin
            first, *others = word.split(",")
            if len(lines[-1]) + len(first) + 3 <= HELP_WIDTH:
                lines[-1] += f" {first}"
            else:
                lines[-1] += " \\"
                lines.append(f"      {first}")
            for part in others:
                lines[-1] += ",\\"
                lines.append(part)
    return lines


def _usage(name: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if field.is_required() or default is None or isinstance(default, BaseModel) or default in ({}, []):
        return f"+{name}="
    return f"+{name}={str(default).lower() if isinstance(default, bool) else default}"


def _first_sentence(description: str | None) -> str:
    text = " ".join((description or "").split())
    head, separator, _ = text.partition(". ")
    return head + "." if separator else text
