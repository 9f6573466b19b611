"""Scoring as it must not be."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

CHILDREN = 3


def looped() -> float:
    """Never ends."""
    while True:
        pass


def forked() -> float:
    """Leaves children behind that never end, made in each of the ways there are, and does not end either."""
    for _ in range(CHILDREN):
        if os.fork() == 0:
            time.sleep(3600)
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    return looped()


def eaten() -> float:
    """Takes all the memory that it can get, and keeps it."""
    hoard = []
    while True:
        hoard.append(b"x" * (64 << 20))


def scored(body: dict[str, Any]) -> float:
    """Looks for what is not there."""
    return float(body["grade"])
