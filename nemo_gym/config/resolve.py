"""Resolving: every `${…}` replaced by what it stands for, every `???` that nobody set reported."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import (
    GrammarParseError,
    InterpolationKeyError,
    InterpolationToMissingValueError,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
)

from nemo_gym.config.key_path import KeyPath, dotted
from nemo_gym.config.nearest import nearest, suggestion
from nemo_gym.config.secrets import is_secret_key
from nemo_gym.config.tree import ConfigTree
from nemo_gym.errors import ConfigProblem

_RESOLVERS = ("oc.env", "oc.decode", "oc.select", "oc.create", "oc.dict.keys", "oc.dict.values", "oc.deprecated")
_MISSING_KEY = re.compile(r"Interpolation key '(?P<key>[^']*)' not found")
_MISSING_ENV = re.compile(r"Environment variable '(?P<name>[^']*)' not found")


@dataclass
class Resolved:
    """The values without `${…}` and `???`, and what could not be resolved."""

    values: dict[str, Any] = field(default_factory=dict)
    """None stands where something could not be resolved."""
    problems: list[ConfigProblem] = field(default_factory=list)
    broken: set[KeyPath] = field(default_factory=set)
    """Places that a problem already names; nothing more is to be said of them."""


def resolve(tree: ConfigTree, *, is_complete: bool = True) -> Resolved:
    """Every reference of the tree resolved, all mistakes reported. Environment variables are read here.

    `is_complete`: every file could be read. If not, what nobody set may be set in the others and is not reported.
    """
    return _Resolver(tree, is_complete).run()


class _Resolver:
    def __init__(self, tree: ConfigTree, is_complete: bool) -> None:
        self.tree, self.is_complete = tree, is_complete
        self.result = Resolved()

    def run(self) -> Resolved:
        config = OmegaConf.create(self._checked(self.tree.values, ()))
        self.result.values = self._mapping(config, ())
        return self.result

    def _report(self, path: KeyPath, message: str, *, is_absence: bool = False) -> None:
        self.result.broken.add(path)
        if not is_absence or self.is_complete:
            self.result.problems.append(ConfigProblem(self.tree.origin(path), dotted(path), message))

    def _checked(self, value: Any, path: KeyPath) -> Any:
        """A copy that OmegaConf takes: texts whose `${` it cannot parse are reported and become None."""
        if isinstance(value, dict):
            return {key: self._checked(child, (*path, key)) for key, child in value.items()}
        if isinstance(value, list):
            return [self._checked(child, (*path, index)) for index, child in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            try:
                OmegaConf.create([value])
            except GrammarParseError:
                shown = "" if is_secret_key(str(path[-1])) else f" in `{value}`"
                self._report(path, f"broken reference{shown}: write `${{key}}` or `${{oc.env:NAME,default}}`")
                return None
        return value

    def _mapping(self, config: DictConfig, path: KeyPath) -> dict[str, Any]:
        return {str(key): self._value(config, key, (*path, str(key))) for key in config}

    def _value(self, parent: DictConfig | ListConfig, key: Any, path: KeyPath) -> Any:
        if OmegaConf.is_missing(parent, key):
            self._report(path, f"must be set: {_how_to_set(dotted(path))}", is_absence=True)
            return None
        if OmegaConf.is_interpolation(parent, key):
            return self._reference(parent, key, path)
        value = parent[key]
        if isinstance(value, DictConfig):
            return self._mapping(value, path)
        if isinstance(value, ListConfig):
            return [self._value(value, index, (*path, index)) for index in range(len(value))]
        return value

    def _reference(self, parent: DictConfig | ListConfig, key: Any, path: KeyPath) -> Any:
        try:
            value = parent[key]
            if isinstance(value, DictConfig | ListConfig):
                return OmegaConf.to_container(value, resolve=True)
            return value
        except InterpolationToMissingValueError:
            self.result.broken.add(path)  # the `???` it leads to is reported where it stands
        except (OmegaConfBaseException, RecursionError) as error:
            self._report(path, self._explain(error), is_absence=isinstance(error, InterpolationKeyError))
        return None

    def _explain(self, error: Exception) -> str:
        text = str(error).splitlines()[0]
        if isinstance(error, RecursionError) or "Recursive interpolation" in text:
            return "refers to itself, directly or through others"
        if isinstance(error, InterpolationKeyError) and (found := _MISSING_KEY.search(text)):
            return self._explain_missing_key(found["key"])
        if found := _MISSING_ENV.search(text):
            name = found["name"]
            return f"the environment variable {name} is not set; set it, or give a default: ${{oc.env:{name},…}}"
        if isinstance(error, UnsupportedInterpolationType):
            name = text.rsplit(" ", 1)[-1]
            return f"there is no resolver `{name}`; {suggestion(name, _RESOLVERS, kind='resolvers')}"
        return f"cannot be resolved: {text}"

    def _explain_missing_key(self, key: str) -> str:
        best = nearest(key, _value_keys(self.tree.values, ()), cutoff=0.8)
        hint = f"did you mean `{best}`?" if best else _how_to_set(key)
        return f"refers to `{key}`, which is not set: {hint}"


def _value_keys(value: Any, path: KeyPath) -> list[str]:
    """Dotted keys of everything that is no section: what a reference usually means."""
    if isinstance(value, dict):
        return [name for key, child in value.items() for name in _value_keys(child, (*path, key))]
    return [dotted(path)]


def _how_to_set(key: str) -> str:
    """Where users best set a key; a secret does not belong on a command line that others can list."""
    in_file = "set it in env.yaml" if "." in key or "[" in key else f"put `{key}: …` into env.yaml"
    if is_secret_key(key.rsplit(".", 1)[-1]):
        return f"{in_file}, or refer to a variable: `${{oc.env:NAME}}`"
    return f"{in_file}, or pass `+{key}=…`"
