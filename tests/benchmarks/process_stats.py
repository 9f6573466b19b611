"""What processes cost, as the kernel counts it: CPU seconds and peak memory. Linux only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ProcessStat:
    """One process, from `/proc/<pid>/stat`."""

    pid: int
    parent: int
    cpu_s: float
    """User and system time of all threads, and of ended children that were waited for. Counted in ticks of 10 ms."""

    @classmethod
    def read(cls, pid: int) -> ProcessStat | None:
        """None where the process is gone."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The program's name stands in parentheses and may hold anything; numbers follow it.
        fields = text.rpartition(")")[2].split()
        return cls(pid, int(fields[1]), sum(map(int, fields[11:15])) / _TICKS_PER_S)


def process_tree(root: int) -> list[ProcessStat]:
    """The process and all its living descendants, parents first; empty where it is gone."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    everyone = [stat for pid in pids if (stat := ProcessStat.read(pid))]
    tree = [stat for stat in everyone if stat.pid == root]
    for parent in tree:  # grows while it is walked
        tree += [stat for stat in everyone if stat.parent == parent.pid]
    return tree


def peak_rss_bytes(pid: int) -> int:
    """The most memory that the process itself has held so far. 0 where it is gone."""
    return _status_bytes(pid, "VmHWM")


def rss_bytes(pid: int) -> int:
    """The memory that the process itself holds now. 0 where it is gone."""
    return _status_bytes(pid, "VmRSS")


def _status_bytes(pid: int, key: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":")), 0)
