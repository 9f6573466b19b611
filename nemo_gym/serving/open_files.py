"""How many files this process may have open: each connection is one."""

from __future__ import annotations

import resource


def allow_open_files() -> int:
    """Raise the limit as far as this user may; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 30
