"""Commands in documents: found in their `bash` blocks, run as a user would, in a folder of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nemo_gym.launch.child import die_with

ROOT = Path(__file__).resolve().parents[2]
_FILE_BLOCK = re.compile(r"^`([\w/.]+)`\n\n```\w+\n(.*?)^```", re.DOTALL | re.MULTILINE)
_BASH_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)
PATIENCE_S = 300


def bash_blocks(page: Path) -> list[str]:
    """The page's `bash` blocks, in order."""
    return _BASH_BLOCK.findall(page.read_text(encoding="utf-8"))


def write_files(page: Path, folder: Path) -> None:
    """Write the page's files, blocks under a line with nothing but the file's path, into this folder."""
    for name, text in _FILE_BLOCK.findall(page.read_text(encoding="utf-8")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def only(commands: list[str], word: str) -> str:
    """The one command that begins with this word."""
    [command] = [command for command in commands if command.startswith(word)]
    return command


def checkout_in(folder: Path) -> Path:
    """Make a folder look like the checkout, so that whatever a page's commands write is written there."""
    for name in ("resources_servers", "responses_api_models", "responses_api_agents", "data"):
        (folder / name).mkdir()
        for entry in (ROOT / name).iterdir():
            (folder / name / entry.name).symlink_to(entry)
    return folder


def environment() -> dict[str, str]:
    """With this interpreter's commands on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def _end_with_these_tests() -> None:
    """In the new process: be told to stop when the tests are killed, so that no servers are left behind."""
    die_with(os.getppid(), signal.SIGTERM)


def shell(command: str, cwd: Path) -> str:
    """What the command prints; it must succeed. One that takes too long is interrupted and stops its servers."""
    process = subprocess.Popen(
        ["bash", "-ec", command],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_end_with_these_tests,
    )
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
        raise AssertionError(f"{command} did not end within {PATIENCE_S} s\n{out}{err}") from None
    assert process.returncode == 0, f"{command}\n{out}{err}"
    return out


@contextmanager
def running(command: str, cwd: Path) -> Iterator[None]:
    """The `ng_run` command, from the moment its servers are ready; stopped by Ctrl-C afterwards."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=_end_with_these_tests,
    )
    assert process.stdout is not None
    try:
        said = ""
        for line in process.stdout:
            said += line
            if "are ready" in line:
                break
        else:
            raise AssertionError(f"{command} ended before its servers were ready:\n{said}")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
