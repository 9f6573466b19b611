"""The README's commands work as printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands need curl"),
]


def test_the_readmes_curl_is_answered_as_it_says(tmp_path: Path) -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    start, curl = re.findall(r"^```bash\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    servers = subprocess.Popen(
        ["bash", "-c", f"exec {start}"],
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert servers.stdout is not None
        said: list[str] = []
        while not said or "are ready" not in said[-1]:
            line = servers.stdout.readline()
            assert line, "".join(said)
            said.append(line)
        answer = subprocess.run(
            ["bash", "-ec", curl], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, timeout=60, check=True
        )
        assert b'"object":"response"' in answer.stdout
        assert json.loads(answer.stdout)["output"]
    finally:
        servers.send_signal(signal.SIGINT)
        servers.wait(timeout=30)
