"""Sandbox: a working folder, and commands that run in it one after the other, each within the limits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from nemo_gym.errors import SandboxError
from nemo_gym.sandbox.limits import CommandResult, SandboxLimits
from nemo_gym.sandbox.output import CutOutput, drain
from nemo_gym.sandbox.usage import folder_usage, tree_memory_bytes
from nemo_gym.sandbox.workspace import Workspace

T = TypeVar("T")

WATCH_EVERY_S = 0.1
WATCH_FILES_EVERY = 5
"""Files are counted at each fifth look: it takes longer."""
WORK = "/work"
"""Where the working folder lies for commands."""
GRACE_S = 10.0
"""Within this time after it was killed, everything that a command started must be gone."""


class Sandbox(ABC):
    """Commands over one working folder. Between commands nothing runs: state is what lies in the folder."""

    secure: ClassVar[bool]
    """Whether it keeps hostile code away from this machine."""
    gated: ClassVar[bool] = False
    """Whether what `command_line` starts writes one byte when it is ready, and begins the command when it then reads a
    line; at the end of its input it does not begin. So nothing begins whose end this process could not see to."""

    def __init__(self, limits: SandboxLimits, workspace: Workspace) -> None:
        self.limits, self.workspace = limits, workspace
        self._running: asyncio.Lock = asyncio.Lock()
        self._closed = False

    @abstractmethod
    def command_line(self, argv: Sequence[str], env: Mapping[str, str]) -> tuple[list[str], tuple[int, ...]]:
        """What is started on this machine to run `argv` inside, and file handles that it inherits (closed after)."""

    async def all_gone(self) -> None:
        """Wait until the last process of the command is gone; the one that was started is."""
        return

    async def run(
        self,
        command: str | Sequence[str],
        *,
        timeout_s: float | None = None,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        merge_stderr: bool = False,
    ) -> CommandResult:
        """Run a program with its arguments, or text as a bash script, and wait until it and all it started are gone.

        `env` is added to the few variables that there are. Cancelling ends everything too. Raises `SandboxError` where
        the sandbox itself cannot work, never for what the command does.
        """
        argv = ["bash", "-c", command] if isinstance(command, str) else list(command)
        if any("\0" in argument for argument in argv):
            raise SandboxError("a command cannot hold the character NUL")
        async with self._running:
            if self._closed:
                raise SandboxError("this sandbox is closed")
            seconds = self.limits.timeout_s if timeout_s is None else min(timeout_s, self.limits.timeout_s)
            return await self._run(argv, seconds, stdin, env or {}, merge_stderr)

    async def _run(
        self, argv: list[str], timeout_s: float, stdin: bytes, env: Mapping[str, str], merge_stderr: bool
    ) -> CommandResult:
        line, handles = self.command_line(argv, env)
        started = time.monotonic()
        try:
            spawning = asyncio.create_subprocess_exec(
                *line,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT if merge_stderr else asyncio.subprocess.PIPE,
                pass_fds=handles,
                cwd=self.workspace.path if not self.secure else "/",
                env=self.host_env(env),
                start_new_session=True,
            )
            process, cancelled = await _not_cancelled(spawning)
        except OSError as error:
            raise SandboxError(f"{line[0]} cannot be started: {error}") from error
        finally:
            for handle in handles:
                os.close(handle)
        out, err = CutOutput(self.limits.output_bytes), CutOutput(self.limits.output_bytes)
        begin = asyncio.Event()
        reading = asyncio.gather(
            self._read(process, out, begin), drain(process.stderr, err), _feed(process, stdin, begin, self.gated)
        )
        if cancelled:
            await asyncio.shield(self._end(process, reading, begin))
            raise asyncio.CancelledError
        exceeded: str | None = None
        watching = asyncio.ensure_future(self._watch(process.pid))
        try:
            done, _ = await asyncio.wait(
                {ending := asyncio.ensure_future(process.wait()), watching},
                timeout=timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if ending not in done:
                exceeded = watching.result() if watching in done else "timeout_s"
        finally:
            watching.cancel()
            await asyncio.shield(self._end(process, reading, begin))
        exit_code = process.returncode
        assert exit_code is not None
        if exceeded is None:
            self.check_start(exit_code, err.value())
        # A program inside that a signal ends is told by its parent as 128 + signal.
        return CommandResult(
            exit_code=exit_code,
            stdout=out.value(),
            stderr=err.value(),
            duration_s=time.monotonic() - started,
            dropped_bytes=out.dropped + err.dropped,
            exceeded=exceeded or await asyncio.to_thread(self._files_exceeded),
        )

    async def _read(self, process: asyncio.subprocess.Process, out: CutOutput, begin: asyncio.Event) -> None:
        """Let the command begin when it is ready, and read what it says."""
        assert process.stdout is not None
        ready = not self.gated or await process.stdout.read(1)
        if ready:
            begin.set()
        await drain(process.stdout, out)
        begin.set()  # nothing waits for what never was ready

    def host_env(self, env: Mapping[str, str]) -> dict[str, str]:
        """Environment of the process that is started on this machine."""
        return {"PATH": os.defpath}

    def check_start(self, exit_code: int, stderr: bytes) -> None:  # noqa: B027  backends that cannot fail so leave it
        """Raise `SandboxError` where the backend failed, not the command. Not asked where a limit ended it."""

    async def _watch(self, pid: int) -> str:
        """The limit that all processes together broke; runs until there is one."""
        for look in range(10**9):
            await asyncio.sleep(WATCH_EVERY_S)
            if tree_memory_bytes(pid) > self.limits.memory_bytes:
                return "memory_bytes"
            if look % WATCH_FILES_EVERY == 0:
                exceeded = await asyncio.to_thread(self._files_exceeded)
                if exceeded is not None:
                    return exceeded
        raise AssertionError("unreachable")

    def _files_exceeded(self) -> str | None:
        used, files = folder_usage(self.workspace.path, self.limits.max_files)
        if files > self.limits.max_files:
            return "max_files"
        return "disk_bytes" if used > self.limits.disk_bytes else None

    async def _end(
        self,
        process: asyncio.subprocess.Process,
        reading: asyncio.Future[tuple[None, None, None]],
        begin: asyncio.Event,
    ) -> None:
        """Kill what is left, and wait until it is gone and its output is read. What did not begin yet never will."""
        assert process.stdin is not None
        process.stdin.close()
        begin.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        try:
            async with asyncio.timeout(GRACE_S):
                await process.wait()
                await self.all_gone()
                await reading
        except TimeoutError:
            raise SandboxError(f"processes of a command still run {GRACE_S:g} s after they were killed") from None

    async def write_file(self, path: str, content: bytes | str, *, executable: bool = False) -> None:
        """Write a file of the working folder, folders included."""
        data = content.encode() if isinstance(content, str) else content
        await asyncio.to_thread(self.workspace.write, path, data, mode=0o755 if executable else 0o644)

    async def write_files(self, files: Mapping[str, bytes | str]) -> None:
        """Write several files by path."""

        def write() -> None:
            for path, content in files.items():
                self.workspace.write(path, content.encode() if isinstance(content, str) else content)

        await asyncio.to_thread(write)

    async def read_file(self, path: str, *, max_bytes: int = 64_000_000) -> bytes:
        """An ordinary file of the working folder. Raises `SandboxError` for links, devices, and what is too long."""
        return await asyncio.to_thread(self.workspace.read, path, max_bytes=max_bytes)

    async def list_files(self) -> list[str]:
        """Paths of the ordinary files, sorted."""
        return await asyncio.to_thread(self.workspace.files, max_files=self.limits.max_files)

    async def close(self) -> None:
        """Delete the working folder, when a command that runs has ended."""
        async with self._running:
            if not self._closed:
                self._closed = True
                await asyncio.to_thread(self.workspace.remove)


async def _feed(process: asyncio.subprocess.Process, stdin: bytes, begin: asyncio.Event, gated: bool) -> None:
    await begin.wait()
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        if not process.stdin.is_closing():  # uvloop refuses to write to a process that has ended already
            process.stdin.write(b"\n" + stdin if gated else stdin)
            await process.stdin.drain()
    process.stdin.close()


async def _not_cancelled(work: Coroutine[Any, Any, T]) -> tuple[T, bool]:
    """The result of `work`, which is not broken off, and whether that was asked for meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task), False
    except asyncio.CancelledError:
        return await task, True
