"""The README's commands work as printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands need curl"),
]


@contextmanager
def running(command: str, folder: Path) -> Iterator[None]:
    """An `ng_run` command, from when its servers are ready until the block ends."""
    folder.mkdir()
    servers = subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert servers.stdout is not None
        said: list[str] = []
        while not said or " ready" not in said[-1]:
            line = servers.stdout.readline()
            assert line, "".join(said)
            said.append(line)
        yield
    finally:
        servers.send_signal(signal.SIGINT)
        servers.wait(timeout=30)


def test_the_readmes_curl_is_answered_by_the_endpoint_behind(tmp_path: Path) -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    *starts, curl = re.findall(r"^```bash\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    with ExitStack() as stack:
        for number, start in enumerate(starts):
            stack.enter_context(running(start, tmp_path / str(number)))
        answer = subprocess.run(["bash", "-ec", curl], env=ENVIRONMENT, capture_output=True, timeout=60, check=True)
    assert b'"object":"response"' in answer.stdout
    assert json.loads(answer.stdout)["output"]
