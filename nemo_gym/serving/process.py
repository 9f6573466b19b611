"""A server as a process: takes its specification and socket from the launcher, serves, and says when it is ready."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import logging
import os
import resource
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import orjson
import uvicorn
from pydantic import ValidationError

from nemo_gym.config.nearest import suggestion
from nemo_gym.errors import ConfigError, ConfigProblem, LaunchError, NemoGymError
from nemo_gym.schemas.validation import places
from nemo_gym.serving.app import SimpleServer
from nemo_gym.serving.http import SERVER_KEEPALIVE_S
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.spec import ServerSpec

FDS_VARIABLE = "NEMO_GYM_SERVER_FDS"
"""Environment variable that names the inherited file descriptors: `listen=5,spec=6,status=7`."""


@dataclass(frozen=True)
class ServerProcess:
    """What a process started by the launcher has inherited."""

    listen: socket.socket
    """Bound to the server's address, not yet listening."""
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


def run_server_process(server_class: type[SimpleServer]) -> None:
    """What `X.run_webserver()` does: serve as the launcher says; end with exit code 2 if the configuration is wrong."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        process = ServerProcess.from_environment()
    except LaunchError as error:
        raise SystemExit(str(error)) from None
    try:
        server = build_server(server_class, process.spec)
    except ConfigError as error:
        problems = [{"file": p.file, "key": p.key, "message": p.message} for p in error.problems]
        process.report({"event": "failed", "problems": problems})
        raise SystemExit(2) from None

    def on_ready() -> None:
        process.report({"event": "ready"})

    try:
        with asyncio.Runner(loop_factory=uvicorn.Config(app="").get_loop_factory()) as runner:
            runner.run(serve(server, process.listen, on_ready=on_ready, handles_signals=True))
    except NemoGymError as error:
        process.report({"event": "failed", "message": str(error)})
        raise SystemExit(1) from None


def build_server(
    server_class: type[SimpleServer], spec: ServerSpec, client: ServerClient | None = None
) -> SimpleServer:
    """The server with its checked configuration. Raises `ConfigError` with every key that is wrong."""
    config_class = server_class.model_fields["config"].annotation
    assert config_class is not None
    try:
        config = config_class.model_validate({**spec.settings, "name": spec.name})
    except ValidationError as error:
        prefix = f"{spec.name}.{spec.server_type}.{spec.implementation}"
        known = list(config_class.model_fields)
        problems = []
        for (place, message), detail in zip(places(error.errors()), error.errors(), strict=True):
            unknown_key = detail["type"] == "extra_forbidden"
            text = f"no such key; {suggestion(place, known, kind='keys')}" if unknown_key else message
            problems.append(ConfigProblem(spec.source, f"{prefix}.{place}", text))
        raise ConfigError(problems) from None
    server = server_class(config=config, server_client=client or ServerClient(spec.directory))
    server.bind(spec)
    return server


async def serve(
    server: SimpleServer, listen: socket.socket, *, on_ready: Callable[[], None], handles_signals: bool
) -> None:
    """Answer requests on `listen`; `on_ready` is called when the first can be answered.

    Ends when cancelled or, with `handles_signals`, on SIGTERM and SIGINT, after the requests in progress.
    """
    _allow_many_connections()
    config = uvicorn.Config(
        server.setup_webserver(),
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        backlog=8192,
        timeout_keep_alive=int(SERVER_KEEPALIVE_S),
        timeout_graceful_shutdown=5,
    )
    try:
        await _AnnouncingServer(config, on_ready, handles_signals).serve(sockets=[listen])
    finally:
        await server.shutdown()


class _AnnouncingServer(uvicorn.Server):
    """Says when it is ready, after moving everything made until then out of the garbage collector's sight."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], handles_signals: bool) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._handles_signals = handles_signals

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        with super().capture_signals() if self._handles_signals else nullcontext():
            yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            gc.collect()
            gc.freeze()
            self._on_ready()


def load_server_class(folder: Path, entrypoint: str) -> type[SimpleServer]:
    """The server class of an implementation's folder, imported into this process under a module name of its own.

    Modules that lie beside the entrypoint (`from utils import ...`) stay private to it, so that two servers may each
    have a `utils.py`. Raises `LaunchError` where there is not exactly one server class.
    """
    name = "_".join(("nemo_gym_server", *folder.parts[-2:], Path(entrypoint).stem))
    module_spec = importlib.util.spec_from_file_location(name, folder / entrypoint)
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    sys.path.insert(0, str(folder))
    before = set(sys.modules)
    try:
        module_spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
        for loaded in set(sys.modules) - before:
            if "." not in loaded and _lies_in(sys.modules[loaded], folder):
                del sys.modules[loaded]
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, SimpleServer) and value.__module__ == name
    ]
    leaves = [one for one in classes if not any(other is not one and issubclass(other, one) for other in classes)]
    if len(leaves) != 1:
        found = ", ".join(one.__name__ for one in leaves) or "none"
        raise LaunchError(f"{folder / entrypoint}: exactly one server class is needed, found {found}")
    return leaves[0]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    return module.__dict__.get("__file__") is not None and Path(str(module.__file__)).is_relative_to(folder)


def _read_line(fd: int) -> bytes:
    """The first line that arrives; what follows is left for others. Raises `LaunchError` if the launcher is gone."""
    line = bytearray()
    while not line.endswith(b"\n"):
        chunk = os.read(fd, 65536)
        if not chunk:
            raise LaunchError("the launcher ended before it gave this server its configuration")
        line += chunk
    return bytes(line)


def _allow_many_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
