"""One server process as its launcher sees it: started with its socket and pipes, watched, ended with all it started."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from nemo_gym.config.secrets import secrets_in
from nemo_gym.errors import ConfigProblem, LaunchError
from nemo_gym.launch.child import FDS_VARIABLE
from nemo_gym.launch.guardian import RUN_VARIABLE
from nemo_gym.serving.spec import ServerSpec

LAST_WORDS_S = 0.5
"""So long is waited, after a process ended, for what it wrote last; something it started may hold its pipes open."""


@dataclass(frozen=True)
class Ready:
    """The server answers requests."""


@dataclass(frozen=True)
class Failed:
    """The server said why it cannot start."""

    problems: tuple[ConfigProblem, ...]
    """Mistakes in its configuration; empty where it is something else."""
    message: str
    traceback: str = ""
    """Of an exception in the server's own code; else empty."""


@dataclass(frozen=True)
class Exited:
    """The process ended."""

    code: int
    """Exit code; negative: the signal that killed it."""

    def __str__(self) -> str:
        if self.code >= 0:
            return f"exit code {self.code}"
        with suppress(ValueError):
            return f"signal {signal.Signals(-self.code).name}"
        return f"signal {-self.code}"


News = Ready | Failed | Exited


class ChildProcess(asyncio.SubprocessProtocol):
    """Made by `start`. It leads a session of its own, so that its process group holds whatever it starts."""

    def __init__(self, on_output: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self.first_news: asyncio.Future[News] = loop.create_future()
        """The first thing heard of it: ready, failed, or ended without a word."""
        self.exited: asyncio.Future[Exited] = loop.create_future()
        """Done when it has ended, all its output was handed on, and its process group is killed."""
        self.pid = 0
        self.started_at = time.time()
        """Unix time, s."""
        self._on_output = on_output
        self._output_ended = asyncio.Event()
        self._status_ended = asyncio.Event()
        self._lifeline: asyncio.WriteTransport | None = None
        self._status: asyncio.ReadTransport | None = None
        self._ending: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, spec: ServerSpec, listener: socket.socket, *, python: str, on_output: Callable[[bytes], None]
    ) -> ChildProcess:
        """Start the server of `spec` on `listener` with that interpreter; its output goes to `on_output` as it comes.

        Call it in a thread that lives as long as the process is to: the kernel ends it with its parent thread. Raises
        LaunchError where it cannot even be started.
        """
        loop = asyncio.get_running_loop()
        spec_read, spec_write = os.pipe()
        status_read, status_write = os.pipe()
        fds = {"listen": listener.fileno(), "spec": spec_read, "status": status_write}
        environment = {
            **environment_without(secrets_in(spec.global_config)),
            "PYTHONUNBUFFERED": "1",
            FDS_VARIABLE: ",".join(f"{name}={fd}" for name, fd in fds.items()),
            RUN_VARIABLE: spec.run_id,
        }
        entrypoint = str(Path(spec.folder) / spec.entrypoint)
        lifeline, status = os.fdopen(spec_write, "wb", 0), os.fdopen(status_read, "rb", 0)
        try:
            _, child = await loop.subprocess_exec(
                lambda: cls(on_output),
                *(python, "-P", "-m", "nemo_gym.launch.child", str(os.getpid()), entrypoint),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=environment,
                pass_fds=tuple(fds.values()),
                start_new_session=True,
            )
        except BaseException as error:
            lifeline.close()
            status.close()
            if isinstance(error, OSError):
                raise LaunchError(f"{spec.name}: `{python}` cannot be started: {error.strerror or error}") from error
            raise
        finally:
            os.close(spec_read)
            os.close(status_write)
        try:
            await child._connect(spec, lifeline, status)
        except BaseException:
            child.kill()
            raise
        return child

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(os.kill, signal.SIGTERM)

    def kill(self) -> None:
        """End it and its whole process group at once."""
        self._signal(os.killpg, signal.SIGKILL)

    async def stop(self, grace_s: float) -> Exited:
        """Ask it to end, and after `grace_s` seconds kill it; returns when it is gone."""
        self.terminate()
        await asyncio.wait([self.exited], timeout=grace_s)
        self.kill()
        return await asyncio.shield(self.exited)

    def memory_bytes(self) -> int | None:
        """Resident memory; None where it is gone or the system does not tell."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._process = cast(asyncio.SubprocessTransport, transport)
        self.pid = self._process.get_pid()

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        assert isinstance(data, bytes)
        self._on_output(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._output_ended.set()

    def process_exited(self) -> None:
        self._ending = asyncio.get_running_loop().create_task(self._end())

    async def _connect(self, spec: ServerSpec, lifeline: IO[bytes], status: IO[bytes]) -> None:
        loop = asyncio.get_running_loop()
        self._status, _ = await loop.connect_read_pipe(lambda: _StatusLines(self._hear, self._status_ended), status)
        self._lifeline, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, lifeline)
        # Written by the loop, as there is room: a specification may be larger than a pipe holds.
        self._lifeline.write(spec.model_dump_json().encode() + b"\n")

    def _hear(self, line: bytes) -> None:
        news = _read_news(line)
        if not self.first_news.done():
            self.first_news.set_result(news)
        elif isinstance(news, Failed):  # it was ready: this is what it says at its end, as others do on stderr
            self._on_output(news.traceback.encode())

    async def _end(self) -> None:
        # What it left in its group goes too, before anything else: it may hold the pipes that are read to the end next.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._output_ended.wait()
                await self._status_ended.wait()
        for transport in (self._lifeline, self._status, self._process):
            if transport is not None:
                transport.close()
        exited = Exited(cast(int, self._process.get_returncode()))
        if not self.first_news.done():
            self.first_news.set_result(exited)
        self.exited.set_result(exited)

    def _signal(self, send: Callable[[int, int], None], number: int) -> None:
        # Once the process is reaped its number may belong to somebody else.
        if self._process.get_returncode() is None:
            with suppress(ProcessLookupError, PermissionError):
                send(self.pid, number)


def environment_without(secrets: frozenset[str]) -> dict[str, str]:
    """This process's environment but for variables that hold one of these: servers get them in their configuration."""
    return {name: value for name, value in os.environ.items() if value not in secrets}


class _StatusLines(asyncio.Protocol):
    """Splits what comes through the status pipe into lines."""

    def __init__(self, on_line: Callable[[bytes], None], ended: asyncio.Event) -> None:
        self._on_line, self._ended, self._rest = on_line, ended, b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._on_line(line)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended.set()


def _read_news(line: bytes) -> News:
    try:
        news: dict[str, Any] = json.loads(line)
        if news["event"] == "ready":
            return Ready()
        problems = tuple(ConfigProblem(p["file"], p["key"], p["message"]) for p in news.get("problems", ()))
        return Failed(problems, news.get("message", ""), news.get("traceback", ""))
    except (ValueError, KeyError, TypeError):
        return Failed((), f"unreadable status line {line[:200]!r}")
