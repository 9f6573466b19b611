"""Resolving: every `${…}` replaced by what it stands for, every `???` that nobody set reported."""

from __future__ import annotations

import re
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import (
    GrammarParseError,
    InterpolationKeyError,
    InterpolationToMissingValueError,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
)

from nemo_gym.config.findings import Findings
from nemo_gym.config.key_path import KeyPath, dotted
from nemo_gym.config.nearest import nearest, suggestion
from nemo_gym.config.secrets import is_secret_key
from nemo_gym.config.shown import shown
from nemo_gym.config.tree import ConfigTree

_RESOLVERS = ("oc.env", "oc.decode", "oc.select", "oc.create", "oc.dict.keys", "oc.dict.values", "oc.deprecated")
_MISSING_KEY = re.compile(r"Interpolation key '(?P<key>[^']*)' not found")
_MISSING_ENV = re.compile(r"Environment variable '(?P<name>[^']*)' not found")


def resolve(tree: ConfigTree, findings: Findings) -> dict[str, Any]:
    """The values of the tree without `${…}` and `???`; None where something could not be resolved.

    Environment variables are read here and nowhere else.
    """
    return _Resolver(tree, findings).run()


class _Resolver:
    def __init__(self, tree: ConfigTree, findings: Findings) -> None:
        self.tree, self.findings = tree, findings

    def run(self) -> dict[str, Any]:
        return self._mapping(OmegaConf.create(self._checked(self.tree.values, ())), ())

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
                where = "" if is_secret_key(str(path[-1])) else f" in `{shown(value)}`"
                self.findings.add(path, f"broken reference{where}: write `${{key}}` or `${{oc.env:NAME,default}}`")
                return None
        return value

    def _mapping(self, config: DictConfig, path: KeyPath) -> dict[str, Any]:
        return {str(key): self._value(config, key, (*path, str(key))) for key in config}

    def _value(self, parent: DictConfig | ListConfig, key: Any, path: KeyPath) -> Any:
        if OmegaConf.is_missing(parent, key):
            self.findings.add_absence(path, f"must be set: {_how_to_set(dotted(path))}")
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
            self.findings.silence(path)  # the `???` it leads to is reported where it stands
        except InterpolationKeyError as error:
            self.findings.add_absence(path, self._explain(error))
        except (OmegaConfBaseException, RecursionError) as error:
            self.findings.add(path, self._explain(error))
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
            return f"there is no resolver `{shown(name)}`; {suggestion(name, _RESOLVERS, kind='resolvers')}"
        return f"cannot be resolved: {shown(text)}"

    def _explain_missing_key(self, key: str) -> str:
        best = nearest(key, _value_keys(self.tree.values, ()), cutoff=0.8)
        hint = f"did you mean `{best}`?" if best else _how_to_set(key)
        return f"refers to `{shown(key)}`, which is not set: {hint}"


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
