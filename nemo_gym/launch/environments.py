"""The interpreter that runs a server: ours, or a cached environment where its `requirements.txt` asks for more.

Such an environment sees all packages of ours beside its own, is made once per content of the file, under a lock, and
appears only when complete.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import nemo_gym
from nemo_gym.errors import LaunchError
from nemo_gym.launch.guardian import RUN_VARIABLE
from nemo_gym.launch.requirements import RequirementsFile
from nemo_gym.serving.spec import ServerSpec

_SHOWN_PIP_LINES = 8
_COMPLETE = "complete"
_NAMED = re.compile(r"^[A-Za-z0-9]")
_LINE_OF_COPY = re.compile(r" ?\(from line \d+ of [^)]*\)")
"""pip was given a copy of the file, of which users know nothing."""
_LOCK_PAUSE_S = 0.2


async def python_for(spec: ServerSpec, notify: Callable[[str], None]) -> str:
    """The interpreter for that server; makes its environment where needed. Raises LaunchError with pip's last lines."""
    path = Path(spec.folder) / "requirements.txt"
    if not path.is_file():
        return sys.executable
    try:
        requirements = RequirementsFile.read(path)
    except OSError as error:
        raise LaunchError(f"{error.filename}: {error.strerror} (needed by {path})") from error
    unmet = requirements.unmet()
    if not unmet:
        return sys.executable
    environment = cache_folder() / _digest(requirements)
    python = environment / "bin" / "python"
    if not (environment / _COMPLETE).exists():
        environment.parent.mkdir(parents=True, exist_ok=True)
        async with _locked(environment.with_suffix(".lock")):
            if not (environment / _COMPLETE).exists():  # another launcher may have made it while we waited
                notify(f"{spec.name}: making an environment with {', '.join(unmet)} (once per change of {path})")
                await _make(environment, requirements, spec.run_id)
    return str(python)


def cache_folder() -> Path:
    """Where environments are kept."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "nemo_gym" / "environments"


async def _make(environment: Path, requirements: RequirementsFile, run_id: str) -> None:
    # In place rather than renamed when done: the scripts that pip installs name their interpreter by its path.
    shutil.rmtree(environment, ignore_errors=True)
    pip = ["--without-pip"] if importlib.util.find_spec("pip") else []
    await _run([sys.executable, "-m", "venv", *pip, str(environment)], requirements.path, run_id)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = environment / "lib" / version / "site-packages" / "_nemo_gym_base.pth"
    base.write_text(_base_pth(), encoding="utf-8")
    wanted = environment / "requirements.txt"
    wanted.write_text("\n".join(requirements.lines) + "\n", encoding="utf-8")
    install = ("install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off", "-r", str(wanted))
    await _run([str(environment / "bin" / "python"), "-m", "pip", *install], requirements.path, run_id)
    (environment / _COMPLETE).touch()


async def _run(command: list[str], requirements: Path, run_id: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=requirements.parent,  # to which pip takes relative paths
        env={**os.environ, RUN_VARIABLE: run_id},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = await process.communicate()
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != 0:
        said = _LINE_OF_COPY.sub("", output.decode(errors="replace"))
        last = said.strip().splitlines()[-_SHOWN_PIP_LINES:]
        raise LaunchError("\n".join([f"{requirements}: cannot be installed:", *(f"  {line}" for line in last)]))


def _base_pth() -> str:
    # `addsitedir` rather than a plain path: it follows the .pth files there, and so finds editable installs.
    lines = [f"import site; site.addsitedir({folder!r})" for folder in _site_folders()]
    return "\n".join([*lines, str(Path(nemo_gym.__file__).parent.parent)]) + "\n"


def _site_folders() -> list[str]:
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


def _digest(requirements: RequirementsFile) -> str:
    parts = [*requirements.lines, sys.version, sys.base_prefix, _base_pth()]
    if any(not _NAMED.match(line) for line in requirements.lines):  # paths mean another thing in another folder
        parts.append(str(requirements.path.parent))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    with path.open("wb") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # another launcher makes it; waiting here can be interrupted, flock's own cannot
                await asyncio.sleep(_LOCK_PAUSE_S)
        yield
