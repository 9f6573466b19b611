"""A configuration while it is put together: merged values, and for each key the file it came from."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from nemo_gym.config.key_path import KeyPath, dotted
from nemo_gym.config.nearest import nearest, suggestion
from nemo_gym.config.overrides import COMMAND_LINE, Action, Override
from nemo_gym.config.shown import shown
from nemo_gym.errors import ConfigProblem

MISSING = "???"
"""A value that must be set elsewhere."""


class ConfigTree:
    """Layers of values laid over one another, the later one on top.

    Mappings are merged key by key, anything else is replaced. A later `???` replaces nothing.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._origins: dict[KeyPath, str] = {}

    def add(self, values: Mapping[str, Any], source: str) -> None:
        """Lay a file's values over what is there."""
        self._merge(self.values, values, (), source)

    def origin(self, path: KeyPath) -> str:
        """The source that set this key, or the section around it; a section's is the one that began it."""
        for length in range(len(path), 0, -1):
            source = self._origins.get(path[:length])
            if source is not None:
                return source
        return COMMAND_LINE

    def holds(self, path: tuple[str, ...]) -> bool:
        """Whether there is such a key."""
        value: Any = self.values
        for part in path:
            value = _get(value, part) if isinstance(value, dict | list) else _ABSENT
        return value is not _ABSENT

    def apply(self, override: Override) -> ConfigProblem | None:
        """Do what an override says; a problem where its key is not there, or cannot be."""
        parent: dict[str, Any] | list[Any] = self.values
        for depth, part in enumerate(override.path[:-1]):
            child = _get(parent, part)
            if child is _ABSENT:
                if override.action is not Action.SET or isinstance(parent, list):
                    return _absent(parent, override, depth)
                child = self._put(parent, override.path[:depth], part, {}, COMMAND_LINE)
            elif isinstance(child, str) and "${" in child:
                section = ".".join(override.path[: depth + 1])
                message = f"`{section}` is the reference `{shown(child)}`; set the key there, or `{section}` as a whole"
                return ConfigProblem(COMMAND_LINE, override.key, message)
            elif child is None or child == MISSING:
                if override.action is not Action.SET:
                    return _absent({}, override, depth + 1)
                child = self._put(parent, override.path[:depth], part, {}, COMMAND_LINE)
            elif not isinstance(child, dict | list):
                section = ".".join(override.path[: depth + 1])
                return ConfigProblem(COMMAND_LINE, override.key, f"`{section}` is a value and has no keys below it")
            parent = child
        return self._apply_last(parent, override)

    def lay_under(self, path: KeyPath, values: Mapping[str, Any], source: str) -> None:
        """Add to a section what it lacks of `values`; a `???` in it counts as lacking."""
        section: Any = self.values
        for part in path:
            section = section[part]
        for key, value in values.items():
            present = section.get(key, MISSING)
            if isinstance(present, dict) and isinstance(value, Mapping):
                self.lay_under((*path, key), value, source)
            elif present == MISSING:
                self._put(section, path, str(key), value, source)

    def forget(self, path: KeyPath) -> None:
        """Remove a key."""
        section: Any = self.values
        for part in path[:-1]:
            section = section[part]
        del section[path[-1]]
        self._forget(path)

    def _apply_last(self, parent: dict[str, Any] | list[Any], override: Override) -> ConfigProblem | None:
        *above, last = override.path
        present = _get(parent, last)
        if present is _ABSENT and (override.action is not Action.SET or isinstance(parent, list)):
            return _absent(parent, override, len(above))
        if override.action is Action.REMOVE:
            if isinstance(parent, list):
                del parent[int(last)]
            else:
                del parent[last]
            self._forget((*above, last))
        elif isinstance(present, dict) and isinstance(override.value, dict):
            self._merge(present, override.value, (*above, last), COMMAND_LINE)
        else:
            self._put(parent, tuple(above), last, override.value, COMMAND_LINE)
        return None

    def _merge(self, into: dict[str, Any], values: Mapping[str, Any], path: KeyPath, source: str) -> None:
        for key, value in values.items():
            present = into.get(key)
            if isinstance(present, dict) and isinstance(value, Mapping):
                self._merge(present, value, (*path, key), source)
            elif value != MISSING or key not in into:
                self._put(into, path, key, value, source)

    def _put(self, parent: dict[str, Any] | list[Any], path: KeyPath, key: str, value: object, source: str) -> Any:
        """Put a copy of `value` under `key`, whatever was there; returns the copy."""
        if isinstance(parent, list):
            parent[int(key)] = stored = copy.deepcopy(value)
            self._origins[(*path, int(key))] = source
            return stored
        if key in parent:
            self._forget((*path, key))
        self._origins[(*path, key)] = source
        if isinstance(value, Mapping):
            section: dict[str, Any] = {}
            parent[key] = section
            self._merge(section, value, (*path, key), source)
            return section
        parent[key] = stored = copy.deepcopy(value)
        return stored

    def _forget(self, path: KeyPath) -> None:
        for known in [known for known in self._origins if known[: len(path)] == path]:
            del self._origins[known]


class _Absent:
    """Stands for a key that is not there; None is a value."""


_ABSENT = _Absent()


def _get(parent: dict[str, Any] | list[Any], key: str) -> Any:
    if isinstance(parent, dict):
        return parent.get(key, _ABSENT)
    if key.isdigit() and int(key) < len(parent):
        return parent[int(key)]
    return _ABSENT


def _absent(parent: dict[str, Any] | list[Any], override: Override, depth: int) -> ConfigProblem:
    part = override.path[depth]
    section: KeyPath = override.path[:depth]
    if isinstance(parent, list):
        message = f"`{dotted(section)}` is a list of {len(parent)}; indices run from 0 to {len(parent) - 1}"
        return ConfigProblem(COMMAND_LINE, override.key, message)
    where = f"in `{dotted(section)}`" if section else "in the configuration"
    message = f"there is no `{part}` {where}"
    if nearest(part, parent) is not None or override.action is Action.REMOVE:
        message += f"; {suggestion(part, parent, kind='keys')}"
    if override.action is Action.CHANGE:
        message += f" (to add it, write `+{override.key}=…`)"
    return ConfigProblem(COMMAND_LINE, override.key, message)
