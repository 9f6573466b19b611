"""CPU work in child processes: results, errors, endless loops, deaths; the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pebble
import pytest

from nemo_gym.errors import SandboxError
from nemo_gym.serving.executor import CpuExecutor


def add(a: int, b: int) -> int:
    return a + b


def refuse() -> None:
    raise ValueError("not this")


def spin(pid_file: Path) -> None:
    pid_file.write_text(str(os.getpid()))
    while True:
        pass


def spin_with_children(pid_file: Path) -> None:
    """Two that a shell command and a fork have made, and does not end itself."""
    forked = os.fork()
    if forked == 0:
        time.sleep(600)
    started = subprocess.Popen(["sleep", "600"])
    pid_file.write_text(f"{forked} {started.pid}")
    spin(pid_file.with_name("own"))


def hoard() -> None:
    kept = []
    while True:
        kept.append(b"x" * (16 << 20))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def gone(pid: int) -> None:
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():  # noqa: ASYNC240
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"process {pid} is still there")


@pytest.fixture
def executor() -> Iterator[CpuExecutor]:
    made = CpuExecutor(max_workers=2)
    yield made
    made.close()


async def test_the_result_comes_back(executor: CpuExecutor) -> None:
    assert await asyncio.gather(*(executor.run(add, n, 1) for n in range(5))) == [1, 2, 3, 4, 5]


async def test_calls_side_by_side_start_one_pool_and_not_in_the_event_loops_thread(
    executor: CpuExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_in: list[int] = []

    class Noted(pebble.ProcessPool):
        def __init__(self, **options: Any) -> None:
            made_in.append(threading.get_ident())
            super().__init__(**options)

    monkeypatch.setattr(pebble, "ProcessPool", Noted)
    await asyncio.gather(*(executor.run(add, n, 1) for n in range(8)))
    assert len(made_in) == 1 and made_in[0] != threading.get_ident()


async def test_what_the_function_raises_is_raised(executor: CpuExecutor) -> None:
    with pytest.raises(ValueError, match="not this"):
        await executor.run(refuse)


async def test_an_endless_loop_is_killed_at_its_deadline_and_leaves_no_process(
    executor: CpuExecutor, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    await executor.run(add, 1, 1)
    with pytest.raises(SandboxError, match=r"spin took longer than 0.3 s"):
        await executor.run(spin, pid_file, timeout_s=0.3)
    pid = int(pid_file.read_text())
    await gone(pid)
    assert await executor.run(add, 1, 2) == 3


async def test_what_endless_work_has_started_ends_with_it(executor: CpuExecutor, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="took longer"):
        await executor.run(spin_with_children, tmp_path / "pids", timeout_s=1.5)
    for pid in (tmp_path / "pids").read_text().split():
        await gone(int(pid))


async def test_work_that_takes_all_memory_is_an_error_and_the_next_is_done() -> None:
    executor = CpuExecutor(max_workers=1, memory_bytes=256 << 20)
    try:
        with pytest.raises(SandboxError, match="hoard wanted more memory than the 256 MiB that it may take"):
            await executor.run(hoard)
        assert await executor.run(add, 1, 2) == 3
    finally:
        executor.close()


async def test_a_process_that_dies_is_an_error_and_the_pool_goes_on(executor: CpuExecutor) -> None:
    with pytest.raises(SandboxError, match="the process that ran die died"):
        await executor.run(die)
    assert await executor.run(add, 1, 2) == 3


async def test_the_event_loop_goes_on_while_cpu_work_runs(executor: CpuExecutor) -> None:
    await executor.run(add, 1, 1)
    work = asyncio.ensure_future(executor.run(time.sleep, 0.3))
    ticks = 0
    while not work.done():
        await asyncio.sleep(0.005)
        ticks += 1
    assert ticks > 5


async def test_cancelling_kills_the_work(executor: CpuExecutor, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    work = asyncio.ensure_future(executor.run(spin, pid_file))
    while not (pid_file.exists() and pid_file.read_text()):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    pid = int(pid_file.read_text())
    await gone(pid)
