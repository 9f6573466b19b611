"""Runs CPU work in child processes, with a deadline and a kill, so that the event loop never waits for it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import TimeoutError as PoolTimeout
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from nemo_gym.errors import SandboxError

if TYPE_CHECKING:
    from pebble import ProcessPool

P = ParamSpec("P")
T = TypeVar("T")

_PR_SET_PDEATHSIG = 1


class CpuExecutor:
    """A pool of child processes, started at first use.

    This is no sandbox: it keeps slow code of your own off the event loop.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        """`max_workers`: processes at most; None: as many as there are cores."""
        self._max_workers = max_workers or os.cpu_count() or 1
        self._pool: ProcessPool | None = None

    async def run(self, function: Callable[..., T], *args: object, timeout_s: float = 60.0) -> T:
        """`function(*args)` in a child process.

        `function` is importable by name, arguments and result can be pickled. What it raises is raised here.
        Raises `SandboxError` when it takes longer than `timeout_s` (its process is killed) or dies.
        """
        pool = self._pool or self._open()
        future = pool.schedule(function, args=list(args), timeout=timeout_s)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.cancel()  # type: ignore[no-untyped-call]
            raise
        except PoolTimeout:
            raise SandboxError(f"{function.__qualname__} took longer than {timeout_s:g} s and was stopped") from None
        except _process_died() as error:
            raise SandboxError(f"the process that ran {function.__qualname__} died: {error}") from error

    def close(self) -> None:
        """Stop all child processes, whatever they are doing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()

    def _open(self) -> ProcessPool:
        # Imported here: few servers need them.
        import multiprocessing

        from pebble import ProcessPool

        context = multiprocessing.get_context("forkserver")
        self._pool = ProcessPool(max_workers=self._max_workers, context=context, initializer=_die_with_parent)
        return self._pool


def _process_died() -> type[Exception]:
    from pebble import ProcessExpired

    died: type[Exception] = ProcessExpired
    return died


def _die_with_parent() -> None:
    """In a new worker: be killed by the kernel when the process that made it ends, even in an endless loop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix" and os.uname().sysname == "Linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
