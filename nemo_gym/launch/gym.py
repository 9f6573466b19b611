"""A gym that runs: all servers of a configuration with their head server, from start to stop."""

from __future__ import annotations

import asyncio
import logging
import secrets
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from nemo_gym.config.global_config import known_global_config, set_global_config, with_addresses
from nemo_gym.config.instance import GymConfig
from nemo_gym.config.secrets import mask_secrets
from nemo_gym.launch.addresses import Addresses, Listener
from nemo_gym.launch.launched_server import LaunchedServer, label_of
from nemo_gym.launch.options import LaunchOptions
from nemo_gym.launch.server_log import ServerLog
from nemo_gym.launch.supervisor import Supervisor
from nemo_gym.serving.run_token import new_token
from nemo_gym.serving.runs import RunFolder, ServerInstance, ServerStatus
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.spec import ServerAddress, ServerSpec

logger = logging.getLogger(__name__)


class Observer(Protocol):
    """Is told what happens in a run; must not block."""

    def line(self, server: str, text: str) -> None:
        """A server wrote a line."""

    def notice(self, text: str) -> None:
        """Something users should know, in at most ten lines."""


class _Servers(Protocol):
    failure: asyncio.Future[None]
    deaths: list[str]

    async def start(self) -> None: ...
    async def stop(self, grace_s: float) -> None: ...
    def kill(self) -> None: ...
    def statuses(self) -> list[ServerStatus]: ...


class LoggingObserver:
    """Passes notices to `logging`; what servers write is only in their log files."""

    def line(self, server: str, text: str) -> None:
        """Not shown."""

    def notice(self, text: str) -> None:
        """Log it."""
        logger.warning("%s", text)


def running_gym(
    config: GymConfig,
    *,
    cwd: Path | None = None,
    options: LaunchOptions | None = None,
    observer: Observer | None = None,
) -> Gym:
    """`async with running_gym(config) as gym:` starts all servers, and ends them with all they started.

    `cwd` is the folder that keeps the run's logs, by default the working directory; `options` are by default those of
    the configuration. Entering raises ConfigError with every mistake that servers find in their configuration, or
    LaunchError naming the server that did not start. Enter it in a thread that lives as long as the gym: the kernel
    ends the servers when the thread that started them ends.
    """
    return Gym(config, cwd or Path.cwd(), options or LaunchOptions.of(config.values), observer or LoggingObserver())


class Gym:
    """Made by `running_gym`."""

    def __init__(self, config: GymConfig, cwd: Path, options: LaunchOptions, observer: Observer) -> None:
        self.config, self.options = config, options
        self.directory: dict[str, ServerAddress] = {}
        """Where every instance answers, by name."""
        self.head_url = ""
        self.global_config: dict[str, Any] = {}
        """The configuration with every instance's address. Holds secrets."""
        self.run_id = ""
        self.token = config.head_token or new_token()
        """What whoever asks a server of this gym must carry."""
        self._cwd, self._observer = cwd, observer
        self._addresses: Addresses | None = None
        self._folder: RunFolder | None = None
        self._head: asyncio.Task[None] | None = None
        self._edits: asyncio.Task[None] | None = None
        self._servers: _Servers | None = None

    async def __aenter__(self) -> Gym:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.stop()

    def server_client(self) -> ServerClient:
        """A client for the servers of this gym; close its `http` after use."""
        return ServerClient(self.directory, global_config_dict=self.global_config)

    def statuses(self) -> list[ServerStatus]:
        """How every server process is doing."""
        return self._servers.statuses() if self._servers else []

    def deaths(self) -> list[str]:
        """What is known of each server that was ready and ended unasked, in order; it may have been started again."""
        return list(self._servers.deaths) if self._servers else []

    def poll(self) -> None:
        """Raise the LaunchError that names the dead server, if one ended the run; else do nothing."""
        if self._servers is not None and self._servers.failure.done() and not self._servers.failure.cancelled():
            self._servers.failure.result()

    async def wait(self) -> None:
        """Return when `stop` was called. Raises LaunchError when the death of a server ends the run."""
        assert self._servers is not None
        ended = self._servers.failure
        await asyncio.wait([ended])
        if not ended.cancelled():
            ended.result()

    async def stop(self) -> None:
        """End all servers: they get `shutdown_grace_s` to end by themselves. Calling it again does nothing."""
        background = [task for task in (self._edits, self._head) if task is not None]
        for task in background:
            task.cancel()
        if self._servers is not None:
            await self._servers.stop(self.options.shutdown_grace_s)
        await asyncio.gather(*background, return_exceptions=True)
        if self._addresses is not None:
            self._addresses.close()
        if known_global_config() is self.global_config:
            set_global_config(None)
        if self._folder is not None:
            self._folder.close()
        if self._servers is not None and not self._servers.failure.cancel() and not self._servers.failure.cancelled():
            self._servers.failure.exception()  # seen: asyncio need not complain if nobody asked

    def kill(self) -> None:
        """End all server processes at once; a `stop` under way then finishes."""
        if self._servers is not None:
            self._servers.kill()

    async def _start(self) -> None:
        self._addresses = addresses = Addresses.bind(self.config)
        self.directory, self.head_url = addresses.directory, addresses.head.url
        urls = {name: address.urls[0] for name, address in addresses.directory.items()}
        self.global_config = with_addresses(self.config, urls, self.head_url, self.token)
        set_global_config(self.global_config)
        self._folder = RunFolder.create(self._cwd)
        self.run_id = self._folder.run_id
        self._servers = await self._make_servers(self._specs(addresses))
        starting = asyncio.create_task(self._servers.start())
        if self.options.reload and isinstance(self._servers, Supervisor):
            self._edits = asyncio.create_task(self._restart_edited(self._servers, starting))
        try:
            await asyncio.sleep(0)  # first the processes, then the imports of the head server, side by side
            self._start_head(addresses)
            self._folder.record(self.head_url, self.token, listens_on=self.config.head_host)
            await starting
        finally:
            starting.cancel()

    def _specs(self, addresses: Addresses) -> list[tuple[ServerSpec, Listener]]:
        session_secret = secrets.token_hex(32)
        return [
            (
                ServerSpec(
                    name=instance.name,
                    server_type=instance.server_type,
                    implementation=instance.implementation,
                    folder=str(instance.folder),
                    entrypoint=instance.entrypoint,
                    settings=instance.settings,
                    source=instance.source,
                    sources=instance.sources,
                    directory=addresses.directory,
                    global_config=self.global_config,
                    run_id=self.run_id,
                    session_secret=session_secret,
                    token=self._demanded(),
                    working_dir=str(self._cwd.resolve()),
                    worker=worker,
                    num_workers=instance.num_workers,
                ),
                listener,
            )
            for instance in self.config.instances.values()
            for worker, listener in enumerate(addresses.workers[instance.name])
        ]

    async def _make_servers(self, specs: list[tuple[ServerSpec, Listener]]) -> _Servers:
        if self.options.in_process:
            # Imported here: it brings the whole server stack into the launcher.
            from nemo_gym.launch.in_process import InProcessServers

            return InProcessServers(specs)
        servers = [LaunchedServer(spec, listener, self._log(spec)) for spec, listener in specs]
        return Supervisor(servers, self.options, self.run_id, self._observer.notice)

    def _log(self, spec: ServerSpec) -> ServerLog:
        assert self._folder is not None
        label = label_of(spec)
        return ServerLog(self._folder.log_path(label), lambda text: self._observer.line(label, text))

    def _start_head(self, addresses: Addresses) -> None:
        # Imported here: its imports take as long as a server's, and run while those start.
        from nemo_gym.serving.head import head_app
        from nemo_gym.serving.process import serve

        app = head_app(mask_secrets(self.global_config), self._instances, self.statuses)
        serving = serve(app, addresses.head.bound, token=self._demanded(), on_ready=lambda: None, handles_signals=False)
        self._head = asyncio.create_task(serving)

    def _demanded(self) -> str | None:
        return None if self.options.open_endpoints else self.token

    def _instances(self) -> list[ServerInstance]:
        statuses = {status.name: status for status in reversed(self.statuses())}
        return [
            ServerInstance(
                process_name=instance.name,
                server_type=instance.server_type,
                name=instance.implementation,
                dir_path=str(instance.folder),
                entrypoint=instance.entrypoint,
                host=instance.host,
                port=int(self.directory[instance.name].urls[0].rpartition(":")[2]),
                url=self.directory[instance.name].urls[0],
                urls=self.directory[instance.name].urls,
                pid=statuses[instance.name].pid,
                config_path=instance.name,
                start_time=statuses[instance.name].started_at,
            )
            for instance in self.config.instances.values()
        ]

    async def _restart_edited(self, supervisor: Supervisor, starting: asyncio.Task[None]) -> None:
        # Imported here: only this option needs a file watcher.
        from nemo_gym.launch.reload import edits

        async for files, servers in edits(supervisor.servers):
            await asyncio.wait([starting])
            changed = ", ".join(file.name for file in files)
            self._observer.notice(f"{changed} changed; starting again: {', '.join(each.label for each in servers)}")
            for server in servers:
                supervisor.restart_edited(server)
