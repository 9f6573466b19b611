"""All servers of a run in this process and on one event loop. What they ask each other never leaves it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import FastAPI

from nemo_gym.errors import ConfigError, ConfigProblem, LaunchError, NemoGymError
from nemo_gym.launch.addresses import Listener
from nemo_gym.launch.child import import_roots
from nemo_gym.launch.code_error import explain
from nemo_gym.launch.launched_server import label_of
from nemo_gym.serving.app import SimpleServer
from nemo_gym.serving.asgi_transport import AsgiTransport
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.loading import load_server_class
from nemo_gym.serving.process import serve
from nemo_gym.serving.routes import refuse_hidden_routes
from nemo_gym.serving.runs import ServerState, ServerStatus
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.socket_transport import SocketTransport
from nemo_gym.serving.spec import ServerSpec


class InProcessServers:
    """The same calls as a `Supervisor`. A server that fails ends the run."""

    def __init__(self, specs: Sequence[tuple[ServerSpec, Listener]]) -> None:
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.deaths: list[str] = []
        self._specs = specs
        self._states: dict[str, ServerState] = {label_of(spec): "starting" for spec, _ in specs}
        self._tasks: list[asyncio.Task[None]] = []
        self._started_at = time.time()

    async def start(self) -> None:
        """Return when every server is ready. Raises ConfigError with all problems, or LaunchError; call `stop` then."""
        problems: list[ConfigProblem] = []
        by_address: dict[str, FastAPI] = {}
        inside = AsgiTransport(by_address, beyond=SocketTransport())
        apps: list[tuple[ServerSpec, Listener, SimpleServer, FastAPI]] = []
        for spec, listener in self._specs:
            folder = Path(spec.folder)
            sys.path += [root for root in import_roots(folder) if root not in sys.path]
            try:
                client = ServerClient(spec.directory, HttpClient(inside), global_config_dict=spec.global_config)
                server = load_server_class(folder, spec.entrypoint).from_spec(spec, client)
                app = server.setup_webserver()
                refuse_hidden_routes(app, Path(spec.working_dir))
            except ConfigError as error:
                problems += error.problems
            except NemoGymError as error:
                raise LaunchError(f"{label_of(spec)} cannot start: {error}") from error
            except Exception as error:
                what = explain(error, folder, Path(spec.working_dir))
                raise LaunchError(f"{label_of(spec)} cannot start: {what}") from error
            else:
                apps.append((spec, listener, server, app))
                by_address[urlsplit(listener.url).netloc] = app
        if problems:
            raise ConfigError(list(dict.fromkeys(problems)))
        all_ready = asyncio.gather(*(self._serve(*each) for each in apps))
        waited: list[asyncio.Future[object]] = [all_ready, self.failure]  # type: ignore[list-item]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        all_ready.cancel()
        await asyncio.gather(all_ready, return_exceptions=True)
        if self.failure.done():
            self.failure.result()

    async def _serve(self, spec: ServerSpec, listener: Listener, server: SimpleServer, app: FastAPI) -> None:
        """Return when it is ready; the task that serves goes on."""
        ready = asyncio.Event()
        serving = serve(
            app,
            listener.bound,
            token=spec.token,
            max_body_bytes=server.config.max_body_bytes,
            on_ready=ready.set,
            handles_signals=False,
            startup=server.startup,
        )
        task = asyncio.create_task(serving, name=label_of(spec))
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        await ready.wait()
        self._states[label_of(spec)] = "ready"

    async def stop(self, grace_s: float) -> None:
        """End every server; requests in progress get `grace_s` seconds."""
        for task in self._tasks:
            task.remove_done_callback(self._ended)
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        self.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def kill(self) -> None:
        """End every server at once."""
        for task in self._tasks:
            task.cancel()

    def statuses(self) -> list[ServerStatus]:
        """How every server is doing."""
        return [
            ServerStatus(
                name=spec.name,
                worker=spec.worker,
                server_type=spec.server_type,
                implementation=spec.implementation,
                url=listener.url,
                state=self._states[label_of(spec)],
                pid=os.getpid(),
                restarts=0,
                memory_bytes=None,
                started_at=self._started_at,
            )
            for spec, listener in self._specs
        ]

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._states[task.get_name()] = "dead"
        if self.failure.done():
            return
        error = None if task.cancelled() else task.exception()
        reason = f": {type(error).__name__}: {error}" if error else ""
        self.deaths.append(f"{task.get_name()} ended{reason}")
        failure = LaunchError(self.deaths[-1])
        failure.__cause__ = error
        self.failure.set_exception(failure)
