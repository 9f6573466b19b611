"""A recipe's keys as they were written, nested or dotted, become checked options; all mistakes are found at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nemo_gym.config.nearest import nearest, suggestion
from nemo_gym.config.overrides import COMMAND_LINE, parse_overrides
from nemo_gym.config.shown import shown
from nemo_gym.config.yaml_file import read_yaml
from nemo_gym.errors import ConfigProblem
from nemo_gym.training.recipe_options import OPTION_OF_KEY, OPTIONS, PASSED, TRAINER_OPTIONS

_KNOWN = (*OPTION_OF_KEY, *PASSED)
_SECTIONS = {TRAINER_OPTIONS} | {
    ".".join(parts[:length]) for parts in (key.split(".") for key in _KNOWN) for length in range(1, len(parts))
}
"""Keys that hold others. Some are also passed where they hold none."""


@dataclass(frozen=True)
class Leaf:
    """One key with its value, as it was written."""

    source: str
    key: str
    """Dotted."""
    value: object


@dataclass
class GivenOptions:
    """What a recipe says. Made by `given_options`."""

    source: str
    """The recipe's file, or what stands for it in problems."""
    problems: list[ConfigProblem] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    """By option name; what is absent was not given."""
    key_of: dict[str, str] = field(default_factory=dict)
    """The key that said it first."""
    passed: dict[str, Any] = field(default_factory=dict)
    """Values by dotted key that are the trainer's."""

    def add(self, key: str, message: str) -> None:
        """A problem of a key that was found after reading."""
        self.problems.append(ConfigProblem(self.source, key, message))

    def take(self, leaf: Leaf) -> None:
        """Keep what a leaf says, or what is wrong with it. `null` says nothing."""
        name = OPTION_OF_KEY.get(leaf.key)
        if name is not None:
            problem = self._take_option(name, leaf.key, leaf.value) if leaf.value is not None else None
        elif leaf.key.startswith(f"{TRAINER_OPTIONS}.") or _is_passed(leaf.key):
            self.passed[leaf.key.removeprefix(f"{TRAINER_OPTIONS}.")] = leaf.value
            problem = None
        else:
            problem = _unknown(leaf)
        if problem is not None:
            self.problems.append(ConfigProblem(leaf.source, leaf.key, problem))

    def _take_option(self, name: str, key: str, value: object) -> str | None:
        option = OPTIONS[name]
        problem = option.kind.problem_of(value)
        if problem is not None:
            return problem
        if name in self.values and self.values[name] != value:
            first = self.key_of[name]
            if first == key:
                return f"is given twice, as {_said(self.values[name])} and {_said(value)}; keep one"
            said = f"is {_said(value)}, but `{first}`, which means the same, is {_said(self.values[name])}"
            return f"{said}; keep one, or make them equal"
        self.values[name] = value
        self.key_of.setdefault(name, key)
        if option.is_trainers:
            self.passed[key] = value
        return None


def read_recipe(path: Path) -> tuple[dict[str, Any], list[ConfigProblem]]:
    """The file's values, and what is wrong with it as YAML."""
    if path.exists():
        return read_yaml(path, str(path))
    nearby = [file.name for pattern in ("*.yaml", "*.yml") for file in path.parent.glob(pattern)]
    message = f"there is no such file; {suggestion(path.name, nearby, kind='YAML files there')}"
    return {}, [ConfigProblem(str(path), "", message)]


def given_options(values: Mapping[str, Any], arguments: Sequence[str], source: str) -> GivenOptions:
    """The options of a mapping (keys nested, dotted or both), then those of arguments, which win over it.

    Arguments are `+key=value`, `key=value`, `--key=value`, or `--key` and `value`.
    """
    given = GivenOptions(source)
    overrides, problems = parse_overrides(_as_assignments(arguments))
    written = list(_leaves((), values, source))
    typed = [leaf for each in overrides for leaf in _leaves((), {each.key: each.value}, COMMAND_LINE)]
    replaced = {leaf.key for leaf in typed}
    for leaf in [*(leaf for leaf in written if leaf.key not in replaced), *typed]:
        given.take(leaf)
    given.problems.extend(problems)
    return given


def _leaves(path: tuple[str, ...], values: Mapping[str, Any], source: str) -> Iterator[Leaf]:
    """What the mapping says, down to options and to what is passed whole; a key with dots names sections too."""
    for name, value in values.items():
        here = (*path, *str(name).split("."))
        key = ".".join(here)
        if key in _SECTIONS and isinstance(value, Mapping):
            yield from _leaves(here, value, source)
        elif key not in _SECTIONS or value is not None:
            yield Leaf(source, key, dict(value) if isinstance(value, Mapping) else value)


def _is_passed(key: str) -> bool:
    """Whether the key, or a section it is in, is the trainer's."""
    parts = key.split(".")
    return any(".".join(parts[:length]) in PASSED for length in range(1, len(parts) + 1))


def _as_assignments(arguments: Sequence[str]) -> list[str]:
    """`--key value` and `--key=value` as `+key=value`; the others as they are."""
    assignments: list[str] = []
    waiting: str | None = None
    for argument in arguments:
        if waiting is not None:
            assignments.append(f"{waiting}={argument}")
            waiting = None
        elif argument.startswith("--"):
            name = f"+{argument.removeprefix('--')}"
            if "=" in name:
                assignments.append(name)
            else:
                waiting = name
        else:
            assignments.append(argument)
    return [*assignments, *([waiting] if waiting is not None else [])]


def _unknown(leaf: Leaf) -> str:
    if leaf.key in _SECTIONS:
        return f"must be a mapping of keys to values, not `{shown(leaf.value)}`"
    best = nearest(leaf.key, (*_KNOWN, *_SECTIONS))
    own = f"what only the trainer reads goes into `{TRAINER_OPTIONS}`"
    return f"is no option of a recipe; did you mean `{best}`? ({own})" if best else f"is no option of a recipe; {own}"


def _said(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else shown(value)
