"""A server as a process: what it inherits from the launcher, and how it answers requests until told to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass

import orjson
import uvicorn
from starlette.types import ASGIApp

from nemo_gym.errors import LaunchError
from nemo_gym.serving.gate import Gate
from nemo_gym.serving.open_files import allow_open_files
from nemo_gym.serving.request_protocol import RequestProtocol
from nemo_gym.serving.spec import ServerSpec
from nemo_gym.serving.watchdog import watch_event_loop

KEEPALIVE_S = 75
"""Idle connections are closed after this time: well after any client of ours has closed them itself."""
STOP_CHECK_S = 0.1
"""So often a server that is starting looks whether it was told to stop."""

FDS_VARIABLE = "NEMO_GYM_SERVER_FDS"
"""Environment variable that names the inherited file descriptors: `listen=5,spec=6,status=7`."""


@dataclass(frozen=True)
class ServerProcess:
    """What a process started by the launcher has inherited."""

    listen: socket.socket
    """Listens already: what arrives before the server is ready waits."""
    spec: ServerSpec
    status_fd: int

    @classmethod
    def from_environment(cls) -> ServerProcess:
        """Raises `LaunchError` where this process was not started by the launcher."""
        value = os.environ.get(FDS_VARIABLE)
        if value is None:
            raise LaunchError(
                'a server is started by `ng_run "+config_paths=[<its YAML file>]"`, which gives it its configuration'
            )
        fds = {name: int(fd) for name, _, fd in (pair.partition("=") for pair in value.split(","))}
        spec = ServerSpec.model_validate_json(_read_line(fds["spec"]))
        return cls(socket.socket(fileno=fds["listen"]), spec, fds["status"])

    def report(self, event: dict[str, object]) -> None:
        """One line to the launcher."""
        os.write(self.status_fd, orjson.dumps(event) + b"\n")


async def nothing_to_start() -> None:
    """What most servers need before their first request."""


async def serve(
    app: ASGIApp,
    listen: socket.socket,
    *,
    token: str | None = None,
    max_body_bytes: int = 1 << 30,
    on_ready: Callable[[], None],
    handles_signals: bool,
    startup: Callable[[], Awaitable[None]] = nothing_to_start,
) -> None:
    """Answer requests on `listen`, with `token` only those that carry it, until told to stop.

    `on_ready` is called when the first can be answered, which is after `startup`. Raises what `startup` raises. Ends
    when cancelled or, with `handles_signals`, on SIGTERM and SIGINT, after the requests in progress (5 s at most).
    """
    allow_open_files()
    config = uvicorn.Config(
        Gate(app, token=token, max_body_bytes=max_body_bytes),
        http=RequestProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        date_header=False,
        backlog=8192,
        timeout_keep_alive=KEEPALIVE_S,
        timeout_graceful_shutdown=5,
    )
    server = _AnnouncingServer(config, on_ready, handles_signals, startup)
    serving = asyncio.ensure_future(server.serve(sockets=[listen]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise


def run(
    app: ASGIApp,
    process: ServerProcess,
    startup: Callable[[], Awaitable[None]],
    *,
    max_body_bytes: int,
    stall_limit_s: float,
) -> None:
    """`serve()` as the main thing that this process does, on the fastest event loop there is."""

    def on_ready() -> None:
        # What was made until now stays: the garbage collector need not look at it again. Only here, where the whole
        # process is ours: in a program that embeds a gym it would be the program's garbage that is never collected.
        gc.collect()
        gc.freeze()
        process.report({"event": "ready"})
        watch_event_loop(stall_limit_s)

    with asyncio.Runner(loop_factory=uvicorn.Config(app="").get_loop_factory()) as runner:
        runner.run(
            serve(
                app,
                process.listen,
                token=process.spec.token,
                max_body_bytes=max_body_bytes,
                on_ready=on_ready,
                handles_signals=True,
                startup=startup,
            )
        )


class _AnnouncingServer(uvicorn.Server):
    """Says when it is ready."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        handles_signals: bool,
        before_serving: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._handles_signals = handles_signals
        self._before_serving = before_serving

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        with super().capture_signals() if self._handles_signals else nullcontext():
            yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # Not left to the app's lifespan: an error there would be a stack trace in the log, and could not be stopped.
        starting = asyncio.ensure_future(self._before_serving())
        while not starting.done() and not self.should_exit:
            await asyncio.wait([starting], timeout=STOP_CHECK_S)
        if not starting.done():
            starting.cancel()
            with suppress(asyncio.CancelledError):
                await starting
            return
        starting.result()
        await super().startup(sockets)
        if not self.should_exit:
            self._on_ready()


def _read_line(fd: int) -> bytes:
    """The first line that arrives; what follows is left for others. Raises `LaunchError` if the launcher is gone."""
    line = bytearray()
    while not line.endswith(b"\n"):
        chunk = os.read(fd, 65536)
        if not chunk:
            raise LaunchError("the launcher ended before it gave this server its configuration")
        line += chunk
    return bytes(line)
