"""A gym in a thread of its own: for programs that have an event loop already, or none."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import logging
import os
import threading
from contextlib import suppress
from pathlib import Path

from nemo_gym.config.instance import GymConfig
from nemo_gym.errors import LaunchError
from nemo_gym.launch.gym import Gym, running_gym

logger = logging.getLogger(__name__)


class GymThread:
    """Call `start` and later `stop` from any thread, both block. A program that ends without `stop` stops it at exit.

    The kernel ends the servers with the thread that started them. That thread is the gym's own, so it does not matter
    from which one `start` is called, and only the end of the whole program, however it comes, is the servers' end too.
    """

    def __init__(self, config: GymConfig, *, cwd: Path) -> None:
        """`cwd` keeps the run's logs. Raises ConfigError for bad launch options."""
        self.gym: Gym = running_gym(config, cwd=cwd)
        self._thread = threading.Thread(target=self._live, name="nemo-gym", daemon=True)
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._running = threading.Event()
        self._stopping = threading.Lock()
        self._pid = os.getpid()
        self._polled_deaths = 0

    def start(self) -> None:
        """Return when every server is ready. Raises ConfigError with all problems, or LaunchError, and nothing runs."""
        atexit.register(self.stop)
        self._thread.start()
        try:
            self._started.result()
        except BaseException:  # KeyboardInterrupt too
            self.stop()
            raise

    def poll(self) -> None:
        """Raise the LaunchError that names servers which died since the last call, or whose death ended the run."""
        if not self._thread.is_alive():
            raise LaunchError("the gym does not run (any more)")
        self.gym.poll()
        new_deaths = self.gym.deaths()[self._polled_deaths :]
        self._polled_deaths += len(new_deaths)
        if new_deaths:
            again = "It is started again; the rollouts that it was part of have failed."
            raise LaunchError("\n".join([*new_deaths, again]))

    def stop(self) -> None:
        """End all servers and wait until they are gone. Calling it again does nothing."""
        if os.getpid() != self._pid:
            return  # in a fork, which has neither the thread nor the servers
        self._running.wait()
        if self._stopping.acquire(blocking=False) and self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # it ended meanwhile
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        atexit.unregister(self.stop)

    def _live(self) -> None:
        try:
            asyncio.run(self._run())
        except asyncio.CancelledError:
            error: BaseException = LaunchError("stopped before all servers were ready")
        except BaseException as raised:
            error = raised
            if self._started.done():
                logger.exception("the gym ended")
        else:
            return
        finally:
            self._running.set()
        if not self._started.done():
            self._started.set_exception(error)

    async def _run(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._running.set()
        async with self.gym:
            self._started.set_result(None)
            await asyncio.Event().wait()  # until `stop` cancels it
