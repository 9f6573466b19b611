"""Which servers an edit touches: watches their folders and this package."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from watchfiles import Change, DefaultFilter, awatch

import nemo_gym
from nemo_gym.launch.launched_server import LaunchedServer

_STEP_MS = 20
_DEBOUNCE_MS = 200


async def edits(servers: Sequence[LaunchedServer]) -> AsyncIterator[tuple[list[Path], list[LaunchedServer]]]:
    """Python files as they are changed, each time with the servers that run them; without end."""
    package = Path(nemo_gym.__file__).parent
    folders = {Path(server.spec.folder) for server in servers}
    async for changes in awatch(package, *folders, watch_filter=_Code(), step=_STEP_MS, debounce=_DEBOUNCE_MS):
        files = sorted({Path(file) for _, file in changes})
        in_package = any(file.is_relative_to(package) for file in files)
        touched = [
            server for server in servers if in_package or any(file.is_relative_to(server.spec.folder) for file in files)
        ]
        if touched:
            yield files, touched


class _Code(DefaultFilter):
    """Python files that a server may import."""

    def __call__(self, change: Change, path: str) -> bool:
        file = Path(path)
        return file.suffix == ".py" and "tests" not in file.parts and super().__call__(change, path)
