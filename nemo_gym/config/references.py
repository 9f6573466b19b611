"""References between instances: `{type: responses_api_models, name: policy_model}` anywhere in a block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nemo_gym.config.instance import SERVER_TYPES
from nemo_gym.config.key_path import KeyPath
from nemo_gym.config.nearest import nearest, suggestion

REFERENCE_KEYS = {
    "resources_server": "resources_servers",
    "model_server": "responses_api_models",
    "agent_server": "responses_api_agents",
}
"""Keys that hold a reference by convention, and the type that it is expected to have."""


@dataclass(frozen=True)
class Reference:
    """One instance named by another. Made by `references_in`."""

    path: KeyPath
    server_type: str
    name: str
    problem: str | None = None
    """What is wrong with the reference itself; then type and name are not to be used."""


def references_in(value: object, path: KeyPath) -> Iterator[Reference]:
    """Every reference in a block, and everything that was meant as one."""
    if isinstance(value, list):
        for index, child in enumerate(value):
            yield from references_in(child, (*path, index))
    if not isinstance(value, dict):
        return
    for key, child in value.items():
        here = (*path, key)
        expected = REFERENCE_KEYS.get(key)
        if expected is not None and child is not None and not isinstance(child, dict | list):
            yield _wrong(here, f"must be a reference: `{key}: {{type: {expected}, name: {child}}}`")
        elif isinstance(child, dict) and _looks_like_reference(child, is_expected=expected is not None):
            yield _reference(child, here, expected)
        else:
            yield from references_in(child, here)


def _looks_like_reference(value: dict[str, object], *, is_expected: bool) -> bool:
    kind = value.get("type")
    if kind in SERVER_TYPES or is_expected:
        return True
    return isinstance(kind, str) and "name" in value and nearest(kind, SERVER_TYPES, cutoff=0.8) is not None


def _reference(value: dict[str, object], path: KeyPath, expected: str | None) -> Reference:
    kind, name = value.get("type"), value.get("name")
    if kind not in SERVER_TYPES or not isinstance(kind, str):
        if kind is None:
            return _wrong((*path, "type"), f"is missing; write `type: {expected}`")
        return _wrong(
            (*path, "type"), f"`{kind}` is no server type; {suggestion(str(kind), SERVER_TYPES, kind='types')}"
        )
    if not isinstance(name, str) or not name:
        return _wrong((*path, "name"), "is missing: the name of an instance, a text")
    return Reference(path, kind, name)


def _wrong(path: KeyPath, problem: str) -> Reference:
    return Reference(path, "", "", problem)
