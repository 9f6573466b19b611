"""The launcher's side of its guardian: starts it, tells it of process groups, lets it end."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

from nemo_gym.errors import LaunchError

_CLOSING_S = 3.0


class Guard:
    """A running guardian process. Made by `start`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, run_id: str) -> Guard:
        """Raises LaunchError."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "nemo_gym.launch.guardian", run_id, str(os.getpid())),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise LaunchError(f"`{sys.executable}` cannot be started: {error.strerror or error}") from error
        return cls(process)

    def add(self, group: int) -> None:
        """This process group is to end with the launcher."""
        self._tell(f"+{group}")

    def remove(self, group: int) -> None:
        """This group has ended; its number may be used again by others."""
        self._tell(f"-{group}")

    async def close(self) -> None:
        """Have it end what is left of the run; returns when it has."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_S):
                await self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        if not self._process.stdin.is_closing():
            self._process.stdin.write(line.encode() + b"\n")
