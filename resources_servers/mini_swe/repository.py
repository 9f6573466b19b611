"""The workplace of a task whose repository stands in its row: files in a sandbox, tests apart from them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack

from nemo_gym.sandbox import CommandResult, Sandbox, SandboxLimits, open_sandbox
from resources_servers.mini_swe.verdicts import Verdicts
from resources_servers.mini_swe.verifier import HiddenTests, Verdict
from resources_servers.mini_swe.work_tree import Changes, read_changes


class RepositoryWorkplace:
    """Opened at the first command. The hidden tests never lie in its sandbox."""

    def __init__(
        self, files: Mapping[str, str], tests: HiddenTests, verdicts: Verdicts, *, backend: str, limits: SandboxLimits
    ) -> None:
        self._files, self._tests, self._verdicts = files, tests, verdicts
        self._backend, self._limits = backend, limits
        self._sandbox: Sandbox | None = None
        self._changes = Changes({})
        self._open = AsyncExitStack()

    async def run(self, command: str, timeout_s: float) -> CommandResult:
        if self._sandbox is None:
            opening = open_sandbox(self._backend, self._limits, files=self._files)
            self._sandbox = await self._open.enter_async_context(opening)
        return await self._sandbox.run(command, timeout_s=timeout_s, merge_stderr=True)

    async def patch(self) -> str:
        self._changes = Changes({}) if self._sandbox is None else await read_changes(self._sandbox, self._files)
        return self._changes.diff(self._files)

    async def judge(self) -> Verdict:
        return await self._verdicts.on(self._changes.applied_to(self._files), self._files, self._tests)

    async def close(self) -> None:
        self._sandbox = None
        await self._open.aclose()
