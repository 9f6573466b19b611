"""Declarations: which top-level keys are server instances, and which look as if they were meant to be."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_gym.config import places
from nemo_gym.config.findings import Findings
from nemo_gym.config.instance import SERVER_TYPES
from nemo_gym.config.key_path import KeyPath
from nemo_gym.config.nearest import nearest, suggestion
from nemo_gym.config.overrides import COMMAND_LINE
from nemo_gym.config.shown import shown
from nemo_gym.config.tree import ConfigTree

PLAIN_KEYS = ("config_paths", "head_server", "default_host", "port_range_low", "port_range_high")
"""Top-level keys with a meaning of their own."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")
"""Names stand in URLs, cookies, file names and dotted keys."""


@dataclass(frozen=True)
class Block:
    """An instance as it is declared, whether or not it can be run."""

    name: str
    server_type: str
    implementation: str
    settings: dict[str, Any]

    @property
    def path(self) -> KeyPath:
        return (self.name, self.server_type, self.implementation)


class Declarations:
    """The instances of a configuration. Made by `find_declarations`."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        """The well-formed ones, in order."""
        self.server_types: dict[str, str | None] = {}
        """Server type by name, ill-formed ones included; None where that is not known."""

    def names(self, server_type: str) -> list[str]:
        return [name for name, its_type in self.server_types.items() if its_type == server_type]


def find_declarations(
    tree: ConfigTree, values: Mapping[str, Any], findings: Findings, *, cwd: Path, options: Collection[str]
) -> Declarations:
    """Every instance of the resolved `values`. What is wrong with a declaration goes into `findings`.

    `options` names top-level keys that the command reads.
    """
    return _Search(tree, findings, cwd, options).run(values)


class _Search:
    def __init__(self, tree: ConfigTree, findings: Findings, cwd: Path, options: Collection[str]) -> None:
        self.tree, self.findings, self.cwd, self.options = tree, findings, cwd, options
        self.found = Declarations()

    def run(self, values: Mapping[str, Any]) -> Declarations:
        for name, value in values.items():
            if isinstance(value, dict) and name not in PLAIN_KEYS:
                self._instance(name, value)
            else:
                self._plain_key(name, values)
        return self.found

    def _instance(self, name: str, value: dict[str, Any]) -> None:
        server_types = [key for key in value if key in SERVER_TYPES]
        if not server_types:
            self._near_instance(name, value)
            return
        if len(server_types) > 1:
            self.found.server_types[name] = None
            self._second(name, (name, server_types[0]), (name, server_types[1]), "server type")
            return
        server_type = server_types[0]
        self.found.server_types[name] = server_type
        if not _NAME.fullmatch(name):
            self.findings.add((name,), "an instance's name is made of letters, digits, `_` and `-`")
        for key in value:
            if key != server_type:
                best = nearest(key, SERVER_TYPES, cutoff=0.8)
                advice = f"did you mean `{best}`?" if best else f"settings belong below `{server_type}.…`"
                self.findings.add((name, key), f"beside `{server_type}` nothing else may stand; {advice}")
        self._implementation(name, server_type, value[server_type])

    def _implementation(self, name: str, server_type: str, value: object) -> None:
        path = (name, server_type)
        if not isinstance(value, dict) or not value:
            known = suggestion("", places.implementations(server_type, self.cwd), kind="implementations")
            self.findings.add(path, f"needs the folder that implements it, and its settings below that; {known}")
            return
        first, *others = value
        if others:
            self._second(name, (*path, first), (*path, others[0]), "implementation")
            return
        settings = value[first]
        if isinstance(settings, dict):
            self.found.blocks.append(Block(name, server_type, first, settings))
        else:
            self.findings.add((*path, first), "needs its settings below, at least `entrypoint: app.py`")

    def _second(self, name: str, first: KeyPath, second: KeyPath, what: str) -> None:
        """Report two server types or implementations: in one file, or by two files that use one name."""
        here, there = self.tree.origin(second), self.tree.origin(first)
        if here == there:
            message = f"is a second {what} beside `{shown(first[-1])}`; an instance has exactly one"
        else:
            defined_as = shown("/".join(str(part) for part in first[1:]))
            message = f"`{shown(name)}` is already defined in {there} as `{defined_as}`; give one of them another name"
        self.findings.add(second, message)

    def _near_instance(self, name: str, value: dict[str, Any]) -> None:
        """Report a mapping that is no instance but looks as if it was meant to be one."""
        if name in SERVER_TYPES:
            message = f"stands where an instance's name belongs; write `<name>:` and below it `{name}:`"
            self._ill_formed(name, (name,), message)
            return
        for key, child in value.items():
            if not isinstance(child, dict):
                continue
            holds_settings = any(isinstance(inner, dict) and "entrypoint" in inner for inner in child.values())
            if holds_settings or nearest(key, SERVER_TYPES, cutoff=0.8) is not None:
                message = f"is no server type; {suggestion(key, SERVER_TYPES, kind='server types')}"
                self._ill_formed(name, (name, key), message)
            elif "entrypoint" in child:
                types = ", ".join(f"`{server_type}`" for server_type in SERVER_TYPES)
                self._ill_formed(name, (name, key), f"stands where a server type belongs: put it below one of {types}")

    def _ill_formed(self, name: str, path: KeyPath, message: str) -> None:
        self.found.server_types[name] = None
        self.findings.add(path, message)

    def _plain_key(self, name: str, values: Mapping[str, Any]) -> None:
        """Report a single value whose key resembles one that means something, if nothing refers to it."""
        if name in PLAIN_KEYS or name in self.options or self._is_referred_to(name):
            return
        from_command_line = self.tree.origin((name,)) == COMMAND_LINE
        known = [*PLAIN_KEYS, *(self.options if from_command_line else ())]
        best = nearest(name, [key for key in known if key not in values], cutoff=0.8)
        if best is not None:
            self.findings.add((name,), f"means nothing here; did you mean `{best}`?")

    def _is_referred_to(self, name: str) -> bool:
        return re.search(r"\$\{[^}]*\b" + re.escape(name) + r"\b", str(self.tree.values)) is not None
