"""References between instances: `{type: responses_api_models, name: policy_model}` anywhere in a block, checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nemo_gym.config import places
from nemo_gym.config.declarations import Declarations
from nemo_gym.config.findings import Findings
from nemo_gym.config.instance import SERVER_TYPES
from nemo_gym.config.key_path import KeyPath
from nemo_gym.config.nearest import nearest, suggestion
from nemo_gym.config.shown import shown

REFERENCE_KEYS = {
    "resources_server": "resources_servers",
    "model_server": "responses_api_models",
    "agent_server": "responses_api_agents",
}
"""Keys that hold a reference by convention, and the type that it is expected to have."""

POLICY_MODEL = "policy_model"
POLICY_CONFIGS = (
    "responses_api_models/openai_model/configs/openai_model.yaml",
    "responses_api_models/scripted_model/configs/scripted_model.yaml",
)
"""What may define the policy: any OpenAI endpoint, or scripted answers that need no key."""


@dataclass(frozen=True)
class Reference:
    """One instance named by another. Made by `references_in`."""

    path: KeyPath
    server_type: str
    name: str
    problem: str | None = None
    """What is wrong with the reference itself; then type and name are not to be used."""


def check_references(declared: Declarations, findings: Findings, *, cwd: Path) -> None:
    """Put every reference to an unknown instance, or to one of another type, into `findings`.

    An unknown instance is reported once, however many refer to it.
    """
    unknown: dict[tuple[str, str], list[KeyPath]] = {}
    for block in declared.blocks:
        for reference in references_in(block.settings, block.path):
            if reference.problem is not None:
                findings.add(reference.path, reference.problem)
            elif reference.name not in declared.server_types:
                unknown.setdefault((reference.server_type, reference.name), []).append((*reference.path, "name"))
            else:
                _check_type(reference, declared, findings)
    for (server_type, name), places_found in unknown.items():
        more = f" ({len(places_found) - 1} more refer to it)" if len(places_found) > 1 else ""
        findings.add_absence(places_found[0], f"{_explain_unknown(server_type, name, declared, cwd)}{more}")


def _check_type(reference: Reference, declared: Declarations, findings: Findings) -> None:
    actual, wanted = declared.server_types[reference.name], reference.server_type
    if actual is not None and actual != wanted:
        advice = suggestion(reference.name, declared.names(wanted), kind=f"instances of {wanted}")
        findings.add((*reference.path, "name"), f"`{reference.name}` is one of {actual}, not {wanted}; {advice}")


def _explain_unknown(server_type: str, name: str, declared: Declarations, cwd: Path) -> str:
    same_type = declared.names(server_type)
    if best := nearest(name, same_type, cutoff=0.75):
        return f"there is no instance `{shown(name)}`; did you mean `{best}`?"
    if name == POLICY_MODEL and server_type == "responses_api_models":
        endpoint, scripted = POLICY_CONFIGS
        return f"nothing defines `{name}`; add {endpoint} (any OpenAI endpoint) or {scripted} (no key) to config_paths"
    config = f"{server_type}/{name}/configs/{name}.yaml"
    if places.find_file(config, cwd) is not None:
        return f"nothing defines `{shown(name)}`; add {config} to config_paths"
    return f"there is no instance `{shown(name)}`; {suggestion(name, same_type, kind=f'instances of {server_type}')}"


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
            yield _wrong(here, f"must be a reference: `{key}: {{type: {expected}, name: {shown(child)}}}`")
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
            (*path, "type"), f"`{shown(kind)}` is no server type; {suggestion(str(kind), SERVER_TYPES, kind='types')}"
        )
    if not isinstance(name, str) or not name:
        return _wrong((*path, "name"), "is missing: the name of an instance, a text")
    return Reference(path, kind, name)


def _wrong(path: KeyPath, problem: str) -> Reference:
    return Reference(path, "", "", problem)
