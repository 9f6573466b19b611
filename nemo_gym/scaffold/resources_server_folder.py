"""A new environment: every file of a resources server that passes its tests and the checker as it is written."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from nemo_gym.config.component import Component
from nemo_gym.config.overrides import COMMAND_LINE
from nemo_gym.errors import ConfigError, ConfigProblem

SERVER_TYPE = "resources_servers"
SUFFIX = ".template"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def new_resources_server(entrypoint: Path) -> list[Path]:
    """Write the files of a new environment into `resources_servers/<name>`, and return their paths.

    Raises `ConfigError` where that is no such path, or where anything is there already: nothing is written over.
    """
    component = Component.at(entrypoint)
    problem = _problem(entrypoint, component)
    if problem is not None:
        raise ConfigError([ConfigProblem(COMMAND_LINE, "entrypoint", problem)])
    name = entrypoint.name
    written = []
    for template, relative in _templates(files(__package__) / "resources_server"):
        path = entrypoint / _filled(relative.removesuffix(SUFFIX), name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(template.read_text(encoding="utf-8"), name), encoding="utf-8")
        written.append(path)
    return sorted(written)


def _problem(entrypoint: Path, component: Component | None) -> str | None:
    name = entrypoint.name
    if component is None or component.server_type != SERVER_TYPE or component.implementation != name:
        return f"must be a folder of {SERVER_TYPE}, as `{SERVER_TYPE}/my_env`, not `{entrypoint}`"
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        return f"`{name}` cannot be imported; write it as `my_env`: small letters, digits and `_`"
    if entrypoint.exists():
        return f"`{entrypoint}` is there already, and nothing is written over; choose another name"
    return None


def _templates(folder: Traversable, above: str = "") -> list[tuple[Traversable, str]]:
    found: list[tuple[Traversable, str]] = []
    for entry in folder.iterdir():
        place = f"{above}{entry.name}"
        if entry.is_dir():
            found += _templates(entry, f"{place}/")
        elif place.endswith(SUFFIX):
            found.append((entry, place))
    return found


def _filled(text: str, name: str) -> str:
    """`{{name}}` is `my_env`, `{{Name}}` is `MyEnv`."""
    camel = "".join(part.capitalize() for part in name.split("_"))
    return text.replace("{{name}}", name).replace("{{Name}}", camel)
