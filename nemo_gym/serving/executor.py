"""Runs CPU work in child processes, with a deadline and a kill, so that the event loop never waits for it."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as PoolTimeout
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from nemo_gym.errors import SandboxError

if TYPE_CHECKING:
    from pebble import ProcessPool

P = ParamSpec("P")
T = TypeVar("T")

_PR_SET_PDEATHSIG = 1
_ENDED = signal.SIGUSR1


class CpuExecutor:
    """A pool of child processes, started at first use. What work has started itself ends with its process.

    This is no sandbox: it keeps slow code of your own off the event loop.
    """

    def __init__(self, max_workers: int | None = None, memory_bytes: int | None = None) -> None:
        """`max_workers`: processes at most; None: as many as there are cores.

        `memory_bytes`: what each may take (on Linux); None: its share of this machine's memory.
        """
        self._max_workers = max_workers or os.cpu_count() or 1
        self._memory_bytes = memory_bytes or _machine_memory_bytes() // self._max_workers
        self._pool: ProcessPool | None = None
        self._opening = threading.Lock()

    async def run(self, function: Callable[..., T], *args: object, timeout_s: float = 60.0) -> T:
        """`function(*args)` in a child process.

        `function` is importable by name, arguments and result can be pickled. What it raises is raised here.
        Raises `SandboxError` when it takes longer than `timeout_s` (its process is killed), too much memory, or dies.
        """
        # Starting the pool takes a third of a second, which the event loop is not to stand still for.
        pool = self._pool
        if pool is None:
            pool = await asyncio.to_thread(self._open)
        future = pool.schedule(function, args=list(args), timeout=timeout_s)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.cancel()  # type: ignore[no-untyped-call]
            raise
        except PoolTimeout:
            raise SandboxError(f"{function.__qualname__} took longer than {timeout_s:g} s and was stopped") from None
        except MemoryError:
            limit = f"{self._memory_bytes / 2**20:.0f} MiB"
            raise SandboxError(
                f"{function.__qualname__} wanted more memory than the {limit} that it may take"
            ) from None
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

        with self._opening:
            if self._pool is None:
                context = multiprocessing.get_context("forkserver")
                # Each worker imports the server's own program, and with it these, which take a second. Workers are
                # killed often where verifiers are slow, so they are forked from a process that has them already.
                context.set_forkserver_preload(["nemo_gym.serving.app", "pebble"])
                pool = ProcessPool(
                    max_workers=self._max_workers, context=context, initializer=_begin, initargs=[self._memory_bytes]
                )
                if not pool.active:  # asking starts the processes
                    raise SandboxError("the pool of child processes did not start")
                self._pool = pool
            return self._pool


def _process_died() -> type[Exception]:
    from pebble import ProcessExpired

    died: type[Exception] = ProcessExpired
    return died


def _machine_memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _begin(memory_bytes: int) -> None:
    """In a new worker: leave nothing behind, however it ends, and never take all memory of the machine."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name != "posix" or os.uname().sysname != "Linux":
        return
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    os.setpgid(0, 0)
    worker = os.getpid()
    if os.fork() == 0:
        _end_group_with(worker)
    # Killed by the kernel when the process that made it ends, even in an endless loop.
    _signal_at_parents_end(signal.SIGKILL)


def _end_group_with(worker: int) -> None:
    """In a child of the worker: wait for the worker's end, then kill what it started and did not end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [_ENDED])
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    _signal_at_parents_end(_ENDED)
    if os.getppid() == worker:
        signal.sigwait([_ENDED])
    os.killpg(0, signal.SIGKILL)


def _signal_at_parents_end(number: signal.Signals) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
