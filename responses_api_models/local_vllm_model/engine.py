"""One vLLM process: started, waited for, stopped with all it started, its last lines kept."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from nemo_gym.errors import LaunchError, RequestError
from nemo_gym.serving.http import HttpClient

TETHER = Path(__file__).with_name("tether.py")
POLL_S = 0.2
"""vLLM does not say when it is ready; so often it is asked."""
POLL_TIMEOUT_S = 5.0
LAST_LINES = 8
LINE_LIMIT_BYTES = 1 << 20


class Engine:
    """A vLLM process under one name. `start` may be called again after it ended."""

    def __init__(self, name: str, url: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """`url` is where it will answer, without `/v1`; `environment` is all of the process's variables."""
        self.name, self.url = name, url
        self._command, self._environment = list(command), dict(environment)
        self._process: asyncio.subprocess.Process | None = None
        self._output: asyncio.Task[None] | None = None
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)

    async def start(self) -> None:
        """Start the process. Raises `LaunchError` where there is no such interpreter."""
        self._last_lines.clear()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", str(TETHER), *self._command),
                env=self._environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=LINE_LIMIT_BYTES,
                start_new_session=True,
            )
        except OSError as error:
            raise LaunchError(f"{self.name} cannot be started: {error.strerror or error}") from error
        self._output = asyncio.create_task(self._pass_on_output())

    async def until_healthy(self, http: HttpClient, timeout_s: float) -> None:
        """Return when it answers requests. Raises `LaunchError` with its last lines where it ends or takes too long."""
        deadline = time.monotonic() + timeout_s
        ended = asyncio.ensure_future(self.ended())
        try:
            while not ended.done():
                if await self._is_healthy(http):
                    return
                if time.monotonic() > deadline:
                    raise LaunchError(self.report(f"was not ready after {timeout_s:g} s (`vllm_start_timeout_s`)"))
                await asyncio.wait([ended], timeout=POLL_S)
            raise LaunchError(self.report(f"ended before it was ready, with exit code {ended.result()}"))
        finally:
            ended.cancel()

    async def ended(self) -> int:
        """Wait for its end; its exit code."""
        assert self._process is not None and self._output is not None
        code = await self._process.wait()
        await asyncio.wait([self._output])
        return code

    async def stop(self, grace_s: float) -> None:
        """End it, after `grace_s` seconds by force, with everything it started."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        with suppress(ProcessLookupError):
            self._process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        self._process.stdin.close()
        await self._process.wait()

    def report(self, what: str) -> str:
        """What happened to it, and what it said last."""
        lines = "\n".join(f"  {line}" for line in self._last_lines)
        return f"{self.name} {what}. Its last lines:\n{lines}" if lines else f"{self.name} {what}, without a word."

    async def _is_healthy(self, http: HttpClient) -> bool:
        try:
            return (await http.request("GET", f"{self.url}/health", timeout_s=POLL_TIMEOUT_S)).ok
        except RequestError:
            return False

    async def _pass_on_output(self) -> None:
        """Its lines are ours too: they end up in this server's log."""
        assert self._process is not None and self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError:  # longer than any line that a person reads; dropped
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            if text:
                self._last_lines.append(text)
                sys.stdout.write(f"{self.name}: {text}\n")
