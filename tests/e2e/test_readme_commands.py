"""The commands in every resources server's README work as printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVERS = sorted(path.parent for path in (ROOT / "resources_servers").glob("*/app.py"))

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the READMEs' commands need curl"),
]


def blocks(folder: Path) -> list[str]:
    readme = (folder / "README.md").read_text(encoding="utf-8")
    found: list[str] = re.findall(r"^```bash\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    return found


def only(commands: list[str], word: str) -> str:
    [command] = [command for command in commands if command.startswith(word)]
    return command


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-ec", command],
        cwd=cwd,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def install(tmp_path: Path) -> Path:
    """A folder that looks like the checkout, so that `results/` and run files are written elsewhere."""
    for name in ("resources_servers", "responses_api_models", "responses_api_agents"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.fixture
def running(request: pytest.FixtureRequest, install: Path) -> Iterator[Path]:
    """The README's `ng_run` command, until the test is done. Gives its folder."""
    command = only(blocks(request.param), "ng_run")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=install,
        env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = ""
    try:
        for line in process.stdout:
            said += line
            if "are ready" in line:
                break
        else:
            pytest.fail(f"ng_run ended before its servers were ready:\n{said}")
        yield request.param
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.mark.parametrize("running", SERVERS, indirect=True, ids=lambda folder: str(folder.name))
def test_the_readmes_commands_work_as_printed(running: Path, install: Path) -> None:
    commands = blocks(running)
    verified = shell(only(commands, "curl"), install)
    assert verified.returncode == 0, verified.stderr
    answer = verified.stdout[verified.stdout.index('{"responses_create_params"') :] if verified.stdout else ""
    reward = json.loads(answer)["reward"]
    assert f'`"reward":{reward}`' in (running / "README.md").read_text(encoding="utf-8")

    collected = shell(only(commands, "ng_collect_rollouts"), install)
    assert collected.returncode == 0, collected.stderr + collected.stdout
    results = (install / "results" / f"{running.name}.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(results) == 5 and all("reward" in json.loads(line) for line in results)

    prepared = shell(only(commands, "python"), install)
    assert prepared.returncode == 0, prepared.stderr
    rows = (install / "results" / f"{running.name}_train.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 100
