"""What a command in a sandbox may use up, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

MB = 1_000_000


@dataclass(frozen=True)
class SandboxLimits:
    """Limits of each command in a sandbox, and of the files that they share."""

    timeout_s: float = 60.0
    """Seconds of wall-clock time; a command may be given less."""
    cpu_s: int = 60
    """Seconds of CPU time of each process."""
    memory_bytes: int = 1000 * MB
    """Address space of each process, and resident memory of all together."""
    max_processes: int = 64
    """Processes and threads alive at a time."""
    file_bytes: int = 64 * MB
    """Size of one file."""
    disk_bytes: int = 256 * MB
    """All files of the working folder; `/tmp` and `/dev/shm` hold as much again."""
    max_files: int = 20_000
    """Files and folders in the working folder."""
    output_bytes: int = 1 * MB
    """Kept of standard output, and of standard error: the first and the last half."""


@dataclass(frozen=True)
class CommandResult:
    """What a command did. A limit that it ran into is told here, not raised."""

    exit_code: int
    """Negative: the signal that ended it. Meaningless where a limit did."""
    stdout: bytes
    stderr: bytes
    """Empty where it was merged into `stdout`."""
    duration_s: float
    dropped_bytes: int = 0
    """Output that was left out in the middle of `stdout` or `stderr`."""
    exceeded: str | None = None
    """The limit that ended the command: `timeout_s`, `memory_bytes`, `disk_bytes` or `max_files`; else None."""

    @property
    def text(self) -> str:
        """`stdout` as text; what is no UTF-8 becomes U+FFFD."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def ok(self) -> bool:
        """Whether it ended by itself, with exit code 0."""
        return self.exceeded is None and self.exit_code == 0
