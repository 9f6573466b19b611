"""The supervisor: starts all server processes side by side, keeps them running, and ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from nemo_gym.errors import ConfigError, LaunchError, NemoGymError
from nemo_gym.launch.child_process import ChildProcess
from nemo_gym.launch.environments import python_for
from nemo_gym.launch.guard import Guard
from nemo_gym.launch.launched_server import LaunchedServer
from nemo_gym.launch.options import LaunchOptions
from nemo_gym.serving.runs import ServerStatus

COLLECT_S = 2.0
"""After one server failed to start, the others get so long to report their own mistakes."""
STILL_STARTING_S = 10.0
"""So often users are told whom the start is waiting for."""
RELOAD_GRACE_S = 0.5
_WAITING = "Waiting for the next edit."
_FIRST_BACKOFF_S, _MAX_BACKOFF_S = 0.2, 10.0


class Supervisor:
    """Call `start` and later `stop`, both once, in one event loop; its thread must outlive the run.

    `notify` is told what users should know, in at most ten lines each time.
    """

    def __init__(
        self, servers: Sequence[LaunchedServer], options: LaunchOptions, run_id: str, notify: Callable[[str], None]
    ) -> None:
        self.servers = servers
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the LaunchError that ends the run, if one does."""
        self.deaths: list[str] = []
        """What is known of each process that was ready and ended unasked, in order."""
        self._options, self._run_id, self._notify = options, run_id, notify
        self._guard: Guard | None = None
        self._starting: set[asyncio.Task[None]] = set()
        self._watchers: dict[LaunchedServer, asyncio.Task[None]] = {}
        self._leaving: set[ChildProcess] = set()
        self._retirements: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Return when every server is ready. Raises ConfigError with all problems, or LaunchError; call `stop` then."""
        self._guard = await Guard.start(self._run_id)
        pending = self._starting = {asyncio.create_task(self._bring_up(server)) for server in self.servers}
        errors: list[NemoGymError] = []
        while pending:
            patience_s = COLLECT_S if errors else STILL_STARTING_S
            done, pending = await asyncio.wait(pending, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            errors += [error for task in done if (error := _error_of(task)) is not None]
            if errors and not done:
                break
            if not done:
                waiting = [server.label for server in self.servers if server.state == "starting"]
                self._notify(f"Still starting: {', '.join(waiting)}")
        if errors:
            raise _summary(errors)
        for server in self.servers:
            self._watchers[server] = asyncio.create_task(self._watch(server))

    def restart_edited(self, server: LaunchedServer) -> None:
        """Start a server anew on its socket, with its code as it is now; the process it had ends meanwhile."""
        self._watchers[server].cancel()
        if server.process is not None and not server.process.exited.done():
            self._leaving.add(server.process)
            retirement = asyncio.create_task(self._retire(server.process))
            self._retirements.add(retirement)
            retirement.add_done_callback(self._retirements.discard)
        server.log.end_of_process()
        self._watchers[server] = asyncio.create_task(self._restart(server))

    async def stop(self, grace_s: float) -> None:
        """End every process of the run and whatever those started, by force after `grace_s` seconds."""
        tasks = [*self._starting, *self._watchers.values(), *self._retirements]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(process.stop(grace_s) for process in self._processes()))
        for server in self.servers:
            server.state = "dead"
            server.log.end_of_process()
            server.log.close()
        if self._guard is not None:
            await self._guard.close()

    def kill(self) -> None:
        """End every process at once; a `stop` under way then finishes."""
        for process in self._processes():
            process.kill()

    def _processes(self) -> list[ChildProcess]:
        return [*self._leaving, *(server.process for server in self.servers if server.process is not None)]

    def statuses(self) -> list[ServerStatus]:
        """How every server process is doing."""
        return [server.status() for server in self.servers]

    async def _bring_up(self, server: LaunchedServer) -> None:
        python = await python_for(server.spec, self._notify)
        process = await server.start(python)
        assert self._guard is not None
        self._guard.add(process.pid)
        await server.until_ready(self._options.start_timeout_s)

    async def _restart(self, server: LaunchedServer) -> None:
        try:
            await self._bring_up(server)
        except (LaunchError, ConfigError) as error:
            self._notify(f"{error}\n{_WAITING}")
            return
        self._notify(f"{server.label} is ready again.")
        await self._watch(server)

    async def _retire(self, process: ChildProcess) -> None:
        await process.stop(RELOAD_GRACE_S)
        self._leaving.discard(process)
        assert self._guard is not None
        self._guard.remove(process.pid)

    async def _watch(self, server: LaunchedServer) -> None:
        try:
            while await self._outlive(server):
                pass
        except LaunchError as error:
            # Nobody will answer there any more: connections are to be refused, not to wait.
            server.listener.bound.close()
            if not self.failure.done():
                self.failure.set_exception(error)

    async def _outlive(self, server: LaunchedServer) -> bool:
        """Wait for the end of the server's process and start the next, or return False where an edit must come first.

        Raises LaunchError where that death ends the run.
        """
        process = server.process
        assert process is not None and self._guard is not None
        exited = await asyncio.shield(process.exited)
        self._guard.remove(process.pid)
        report = server.end_of_process(exited)
        self.deaths.append(report)
        if self._options.reload:
            self._notify(f"{report}\n{_WAITING}")
            return False
        if self._options.on_server_exit == "stop":
            raise LaunchError(report)
        if server.restarts_in_a_row >= self._options.max_restarts:
            raise LaunchError(f"{report}\nIt was started again {server.restarts_in_a_row} times; giving up.")
        delay_s = min(_FIRST_BACKOFF_S * 2**server.restarts_in_a_row, _MAX_BACKOFF_S)
        server.restarts += 1
        server.restarts_in_a_row += 1
        self._notify(f"{report}\nStarting it again ({server.restarts_in_a_row} of {self._options.max_restarts}).")
        await asyncio.sleep(delay_s)
        with suppress(LaunchError, ConfigError):  # told of when its process ends, which it then does
            await self._bring_up(server)
            self._notify(f"{server.label} is ready again.")
        return True


def _error_of(task: asyncio.Task[None]) -> NemoGymError | None:
    error = task.exception()
    if error is not None and not isinstance(error, NemoGymError):
        raise error
    return error


def _summary(errors: Sequence[NemoGymError]) -> NemoGymError:
    """All mistakes in the configuration, each once; where there is none, the first other failure."""
    problems = [problem for error in errors if isinstance(error, ConfigError) for problem in error.problems]
    return ConfigError(list(dict.fromkeys(problems))) if problems else errors[0]
