"""The guardian: a tiny process beside the launcher that outlives it by a moment, to end whatever the run still has.

A server process ends with its launcher by itself, but what it had started may not: a grandchild may have left the
process group, and a server stuck in C code cannot act. The guardian reads process group numbers (`+123`, `-123`, one a
line) from its standard input; when that closes, or its parent dies, it kills those groups and every process that
carries the run's mark in its environment.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from nemo_gym.launch.child import die_with

RUN_VARIABLE = "NEMO_GYM_RUN_ID"
"""Environment variable that marks every process of a run."""
_SWEEPS = 20
_SWEEP_PAUSE_S = 0.05


def main() -> None:
    """Wait for the launcher's end; then leave nothing of the run behind."""
    run_id, parent = sys.argv[1], int(sys.argv[2])
    groups: set[int] = set()

    def end_run(*_: object) -> None:
        for group in groups.copy():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        sweep(run_id)
        os._exit(0)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, end_run)
    die_with(parent, signal.SIGUSR1)
    for line in sys.stdin:
        groups.add(int(line[1:])) if line.startswith("+") else groups.discard(int(line[1:]))
    end_run()


def sweep(run_id: str) -> None:
    """Kill every process marked as of that run, until none is left. Linux only; elsewhere the groups must do."""
    for _ in range(_SWEEPS):
        left = processes_of(run_id)
        if not left:
            return
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_SWEEP_PAUSE_S)


def processes_of(run_id: str) -> list[int]:
    """Running processes that carry that run's mark."""
    mark = f"{RUN_VARIABLE}={run_id}".encode()
    pids = [int(process.name) for process in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if pid != os.getpid() and mark in _environment(pid)]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # ended, or another user's
        return []


if __name__ == "__main__":
    main()
