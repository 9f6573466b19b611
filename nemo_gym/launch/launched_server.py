"""A server under supervision: one worker of one instance, across the processes that serve it one after another."""

from __future__ import annotations

import asyncio
import time

from nemo_gym.errors import ConfigError, LaunchError
from nemo_gym.launch.addresses import Listener
from nemo_gym.launch.child_process import ChildProcess, Exited, Failed, Ready
from nemo_gym.launch.server_log import ServerLog
from nemo_gym.serving.runs import ServerState, ServerStatus
from nemo_gym.serving.spec import ServerSpec

HEALTHY_S = 600.0
"""A server that was ready for so long starts counting its restarts anew."""


class LaunchedServer:
    """Keeps socket, log and counts while processes come and go."""

    def __init__(self, spec: ServerSpec, listener: Listener, log: ServerLog) -> None:
        self.spec, self.listener, self.log = spec, listener, log
        self.state: ServerState = "starting"
        self.process: ChildProcess | None = None
        self.restarts = 0
        self.restarts_in_a_row = 0
        self._made_at, self._ready_at = time.time(), 0.0
        self._complaint = ""

    @property
    def label(self) -> str:
        """Instance name, with the worker's number where there are several."""
        return label_of(self.spec)

    async def start(self, python: str) -> ChildProcess:
        """Start a process with that interpreter. Raises LaunchError."""
        self.state, self._complaint = "starting", ""
        self.process = await ChildProcess.start(self.spec, self.listener.bound, python=python, on_output=self.log.write)
        return self.process

    async def until_ready(self, timeout_s: float) -> None:
        """Return when it answers. Raises ConfigError where its configuration is wrong, LaunchError for all else."""
        process = self.process
        assert process is not None
        await asyncio.wait([process.first_news], timeout=timeout_s)
        if not process.first_news.done():
            process.kill()
            self._complaint = (
                f"{self.label} is not ready after {timeout_s:g} s (`start_timeout_s`; log: {self.log.path})"
            )
            raise LaunchError(self._complaint)
        match process.first_news.result():
            case Ready():
                self.state, self._ready_at = "ready", time.monotonic()
            case Failed(problems, message, traceback):
                self._complaint = "\n".join(map(str, problems)) or f"{self.label} cannot start: {message}"
                if traceback:
                    self.log.keep(traceback)
                    self._complaint += f"\n  (traceback: {self.log.path})"
                process.kill()
                raise ConfigError(list(problems)) if problems else LaunchError(self._complaint)
            case Exited() as exited:
                await process.exited
                self._complaint = self.end_of_process(exited)
                raise LaunchError(self._complaint)

    def end_of_process(self, exited: Exited) -> str:
        """Note that its process is gone; what to tell the user, in at most ten lines."""
        if self.state == "ready" and time.monotonic() - self._ready_at > HEALTHY_S:
            self.restarts_in_a_row = 0
        when = " before it was ready" if self.state == "starting" else ""
        self.state = "dead"
        tail = self.log.end_of_process()
        if self._complaint:
            return self._complaint
        if not tail:
            return (
                f"{self.label} ended{when} with {exited} and without a word (log: {self.log.path}).\n"
                f'Does {self.spec.entrypoint} end with `if __name__ == "__main__":` and `….run_webserver()`?'
            )
        lines = "\n".join(f"  {line}" for line in tail)
        return f"{self.label} ended{when} with {exited}. Its last lines:\n{lines}\n  (whole log: {self.log.path})"

    def status(self) -> ServerStatus:
        """How it is doing now."""
        up = self.process if self.state != "dead" else None
        return ServerStatus(
            name=self.spec.name,
            worker=self.spec.worker,
            server_type=self.spec.server_type,
            implementation=self.spec.implementation,
            url=self.listener.url,
            state=self.state,
            pid=up.pid if up else None,
            restarts=self.restarts,
            memory_bytes=up.memory_bytes() if up else None,
            started_at=self.process.started_at if self.process else self._made_at,
        )


def label_of(spec: ServerSpec) -> str:
    """What a server is called in logs: the instance name, with the worker's number where there are several."""
    return spec.name if spec.num_workers == 1 else f"{spec.name}.{spec.worker}"
