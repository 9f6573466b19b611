"""RunHelper: starts, watches and ends the servers of a configuration from inside a program, such as a trainer."""

from __future__ import annotations

from pathlib import Path

from nemo_gym.config.initial import GlobalConfigDictParserConfig
from nemo_gym.errors import LaunchError
from nemo_gym.launch.gym_thread import GymThread
from nemo_gym.serving.server_client import ServerClient


class RunHelper:
    """All methods block, and may be called from any thread, also where an event loop runs."""

    def __init__(self) -> None:
        self._thread: GymThread | None = None
        self._client: ServerClient | None = None

    def start(self, global_config_dict_parser_config: GlobalConfigDictParserConfig | None = None) -> None:
        """Start every server and return when all are ready. Without an argument, the command line says which.

        Raises ConfigError with every mistake in the configuration, or LaunchError naming the server that did not
        start; nothing is left running then.
        """
        if self._thread is not None:
            raise LaunchError("the servers of this RunHelper run already; call shutdown() first")
        cwd = Path.cwd()
        thread = GymThread((global_config_dict_parser_config or GlobalConfigDictParserConfig()).load(cwd), cwd=cwd)
        thread.start()
        self._thread, self._client = thread, thread.gym.server_client()

    def wait_for_spinup(self) -> None:
        """Return at once, as `start` returns when all servers are ready. Raises LaunchError where none run."""
        self._running()

    def poll(self) -> None:
        """Raise the LaunchError that names every server process that died since the last call; else do nothing.

        Dead servers are started again, `max_restarts` times, unless the configuration says `on_server_exit: stop`. Once
        they are given up each call raises.
        """
        self._running().poll()

    def shutdown(self) -> None:
        """End all servers and whatever they started; returns when they are gone. Calling it again does nothing."""
        thread, self._thread, self._client = self._thread, None, None
        if thread is not None:
            thread.stop()

    @property
    def _server_client(self) -> ServerClient:
        """Private by its name, yet what trainers read: `_server_client.head_server_config`."""
        self._running()
        assert self._client is not None
        return self._client

    def _running(self) -> GymThread:
        if self._thread is None:
            raise LaunchError("no servers run; call start() first")
        return self._thread
