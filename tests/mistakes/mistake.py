"""A mistake that users make, and what becomes of the command that meets it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.documents import environment
from tests.mistakes.project import FILES, write_files

MOST_LINES = 10
PATIENCE_S = 60.0
MARK = "NEMO_GYM_TEST_MISTAKE"
"""Environment variable by which what a command started is known."""

Circumstance = Callable[[Path], AbstractContextManager[Mapping[str, str]]]
"""Something about the machine rather than a file, given the project's folder; fills in `{name}` in arguments."""


def _nothing(folder: Path) -> AbstractContextManager[Mapping[str, str]]:
    return nullcontext({})


@dataclass(frozen=True)
class Mistake:
    """One mistake in the project of `tests.mistakes.project`."""

    name: str
    command: str
    """With its arguments, as typed."""
    says: tuple[str, ...]
    """What the terminal must show: where it is, what is wrong, the nearest right name or the next step."""
    files: Mapping[str, str | None] = field(default_factory=dict)
    """What is written over the project's files; None: the file is not there."""
    exit_code: int = 2
    circumstance: Circumstance = _nothing
    needs_servers: bool = False
    """Whether the project's servers run meanwhile."""


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    output: str
    """Of stdout and stderr, as they came."""
    exit_code: int
    seconds: float
    left_over: list[str]
    """Command lines of processes that the command started and that still run."""

    @property
    def lines(self) -> list[str]:
        return [line for line in self.output.splitlines() if line.strip()]


def make(mistake: Mistake, folder: Path, servers: Path | None = None) -> Outcome:
    """Make the mistake in a new project in `folder`; `servers` is where the project's servers run, if they do."""
    write_files(folder, {**FILES, **mistake.files})
    if servers is not None and mistake.needs_servers:
        (folder / ".nemo_gym").symlink_to(servers / ".nemo_gym")
    mark = uuid.uuid4().hex
    with mistake.circumstance(folder) as values:
        command = mistake.command
        for name, value in values.items():
            command = command.replace(f"{{{name}}}", value)
        started = time.monotonic()
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=folder,
            env={**environment(), MARK: mark, "XDG_CACHE_HOME": str(folder / ".cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=PATIENCE_S)
            output += f"\n(it did not end within {PATIENCE_S:g} s)"
        seconds = time.monotonic() - started
    return Outcome(output, process.returncode, seconds, _marked(mark))


def _marked(mark: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes() and process.name != str(os.getpid()):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found
