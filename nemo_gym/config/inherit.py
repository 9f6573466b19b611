"""`_inherit_from`: a section that takes what it does not say itself from another one.

strict_calendar:
  _inherit_from: calendar            # an instance, or the dotted path of any section
  resources_servers: {calendar: {strict: true}}
"""

from __future__ import annotations

from typing import Any

from nemo_gym.config.findings import Findings
from nemo_gym.config.key_path import KeyPath, dotted
from nemo_gym.config.nearest import suggestion
from nemo_gym.config.shown import shown
from nemo_gym.config.tree import ConfigTree

INHERIT_FROM = "_inherit_from"


def inherit(tree: ConfigTree, findings: Findings) -> None:
    """Fill every section that inherits. What is wrong with a `_inherit_from` goes into `findings`."""
    _Inheritance(tree, findings).fill_below((), tree.values)


class _Inheritance:
    def __init__(self, tree: ConfigTree, findings: Findings) -> None:
        self.tree, self.findings = tree, findings
        self._open: list[KeyPath] = []

    def fill_below(self, path: KeyPath, section: dict[str, Any]) -> None:
        """Fill this section and all sections in it."""
        if INHERIT_FROM in section:
            self._fill(path, section)
        for key, value in list(section.items()):
            if isinstance(value, dict):
                self.fill_below((*path, key), value)

    def _fill(self, path: KeyPath, section: dict[str, Any]) -> None:
        here = (*path, INHERIT_FROM)
        if path in self._open:
            chain = " -> ".join(f"`{dotted(each)}`" for each in [*self._open, path])
            self.findings.add(here, f"goes in a circle: {chain}")
            self.tree.forget(here)
            return
        base = self._base(here, section[INHERIT_FROM])
        if base is None:
            self.tree.forget(here)
            return
        base_path, values = base
        self._open.append(path)
        self.fill_below(base_path, values)
        self._open.pop()
        if INHERIT_FROM in section:  # not so in a circle
            source = self.tree.origin(here)
            self.tree.forget(here)
            self.tree.lay_under(path, {key: value for key, value in values.items() if key != INHERIT_FROM}, source)

    def _base(self, here: KeyPath, name: object) -> tuple[KeyPath, dict[str, Any]] | None:
        if not isinstance(name, str) or not name:
            self.findings.add(here, "must be the name of an instance, or the dotted path of a section")
            return None
        value: Any = self.tree.values
        found: list[str] = []
        for part in name.split("."):
            sections = {key: child for key, child in value.items() if isinstance(child, dict)}
            if part not in sections:
                where = f"in `{'.'.join(found)}`" if found else "in the configuration"
                message = f"there is no section `{shown(part)}` {where}; {suggestion(part, sections, kind='sections')}"
                self.findings.add_absence(here, message)
                return None
            value = sections[part]
            found.append(part)
        return tuple(found), value
