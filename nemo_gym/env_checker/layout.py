"""Files of an environment: are they there, are the rows task rows, and does `prepare.py` write them again?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nemo_gym.config.component import Component
from nemo_gym.config.yaml_file import read_yaml
from nemo_gym.schemas.episode import BaseRunRequest
from nemo_gym.schemas.validation import explain

WARNING = "warning: "
APP = "app.py"
MOST_APP_LINES = 150
EXAMPLE_ROWS = 5
PREPARE_TIMEOUT_S = 120.0


def check_files(folder: Path) -> list[str]:
    """Files that are missing, and an `app.py` that is longer than one likes to read."""
    if not folder.is_dir():
        return [f"{folder} is no folder"]
    needed = ["app.py", f"configs/{folder.name}.yaml", "data/example.jsonl"]
    logic = "environment.py" if (folder / "environment.py").is_file() else "verifier.py"
    wanted = [logic, "policies.py", "prepare.py", "README.md", "data/example_verify.json"]
    problems = [f"{name} is missing" for name in needed if not (folder / name).is_file()]
    problems += [f"{WARNING}{name} is missing" for name in wanted if not (folder / name).is_file()]
    if not any((folder / "tests").glob("test_*.py")):
        problems.append(f"{WARNING}tests/ holds no test_*.py")
    app = folder / "app.py"
    lines = len(app.read_text(encoding="utf-8").splitlines()) if app.is_file() else 0
    if lines > MOST_APP_LINES:
        problems.append(
            f"{WARNING}app.py has {lines} lines; move scoring and data out of it ({MOST_APP_LINES} at most)"
        )
    return problems


def read_example_rows(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The valid rows of `data/example.jsonl`, and what is wrong with the others."""
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for number, line in enumerate((folder / "data" / "example.jsonl").read_text(encoding="utf-8").splitlines(), 1):
        place = f"data/example.jsonl:{number}"
        try:
            row = json.loads(line)
            BaseRunRequest.model_validate(row)
        except ValidationError as error:
            problems.append(f"{place}: {'; '.join(explain(error)[:3])}")
        except ValueError as error:
            problems.append(f"{place}: no JSON: {error}")
        else:
            rows.append(row)
    if len(rows) + len(problems) != EXAMPLE_ROWS:
        problems.append(f"{WARNING}data/example.jsonl holds {len(rows)} rows; {EXAMPLE_ROWS} are usual")
    return rows, problems


@dataclass(frozen=True)
class CheckedSettings:
    """What `configs/<name>.yaml` says of the folder's servers. Keys that wait for a value are left out."""

    own: dict[str, Any] = field(default_factory=dict)
    """The block of `app.py`."""
    beside: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The blocks of the folder's other servers, such as a retriever, by instance name: `app.py` may call these."""


def server_settings(folder: Path) -> tuple[CheckedSettings, list[str]]:
    """The settings of the folder's servers, and what is wrong with them."""
    file = f"configs/{folder.name}.yaml"
    if not (folder / file).is_file():
        return CheckedSettings(), []
    values, problems = read_yaml(folder / file, file)
    if problems:
        return CheckedSettings(), [str(problem) for problem in problems]
    component = Component.at(folder)
    implementation = component.implementation if component else folder.name
    found: dict[str, dict[str, Any]] = {}
    for name, instance in values.items():
        servers = instance.get("resources_servers") if isinstance(instance, dict) else None
        block = servers.get(implementation) if isinstance(servers, dict) else None
        if isinstance(block, dict):
            found[name] = {key: value for key, value in block.items() if not _waits_for_user(value)}
    own = next((name for name, block in found.items() if block.get("entrypoint", APP) == APP), None)
    if own is None:
        return CheckedSettings(), [f"{file}: no instance with `resources_servers: {implementation}:` runs `{APP}`"]
    beside = {name: block for name, block in found.items() if block.get("entrypoint", APP) != APP}
    return CheckedSettings(found[own], beside), []


def check_prepare(folder: Path) -> list[str]:
    """Whether `prepare.py --output FILE` writes exactly `data/example.jsonl`."""
    if not (folder / "prepare.py").is_file():
        return []
    component = Component.at(folder)
    root = component.root if component else folder.parent.parent
    python_path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "example.jsonl"
        try:
            done = subprocess.run(
                [sys.executable, str(folder / "prepare.py"), "--output", str(output)],
                capture_output=True,
                text=True,
                timeout=PREPARE_TIMEOUT_S,
                env={**os.environ, "PYTHONPATH": python_path},
                check=False,
            )
        except subprocess.TimeoutExpired:
            return [f"prepare.py did not end within {PREPARE_TIMEOUT_S:.0f} s"]
        if done.returncode != 0 or not output.is_file():
            last = (done.stderr.strip().splitlines() or ["no file was written"])[-1]
            return [f"prepare.py --output FILE fails with exit code {done.returncode}: {last}"]
        if output.read_bytes() != (folder / "data" / "example.jsonl").read_bytes():
            return ["prepare.py writes other rows than those in data/example.jsonl; run it and commit what it writes"]
    return []


def _waits_for_user(value: object) -> bool:
    return isinstance(value, str) and (value == "???" or "${" in value)
