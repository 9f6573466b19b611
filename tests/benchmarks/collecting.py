"""A collection as a child process: the real collector, told what it took: wall clock, connections, memory, files.

`python -m tests.benchmarks.collecting` reads what to collect from its stdin and leaves what it came to in the folder.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import uvloop

from nemo_gym.rollouts.collection import CollectionOptions, collect
from nemo_gym.rollouts.plan import PlanOptions
from nemo_gym.rollouts.running_servers import HeadServerAddress, running_servers
from nemo_gym.rollouts.tally import Tally
from nemo_gym.serving.http import HttpClient
from tests.benchmarks.process_stats import peak_rss_bytes
from tests.benchmarks.task_rows import task_row

_WATCH_EVERY_S = 0.5


@dataclass(frozen=True)
class Collection:
    """What to collect."""

    head_url: str
    folder: str
    agent: str
    rollouts: int
    concurrency: int
    repeats: int = 1
    """Rollouts per task."""
    timeout_s: float = 300.0
    """For each rollout."""


@dataclass(frozen=True)
class Outcome:
    """What it came to."""

    completed: int
    failed: dict[str, int]
    """By class."""
    last_failure: str
    wall_s: float
    """From the first `/run` to the last result."""
    total_s: float
    """With the plan before and the metrics after it."""
    connects_ms: list[float]
    """How long each new connection took, sorted."""
    peak_rss_mb: float
    """Of the collector."""
    most_files: dict[str, int] = field(default_factory=dict)
    """The most open files of each watched process."""

    def connect_ms(self, quantile: float) -> float:
        """0 where there was none."""
        found = self.connects_ms
        return found[min(int(quantile * len(found)), len(found) - 1)] if found else 0.0


def collected(collection: Collection, watched: dict[str, int] | None = None) -> Outcome:
    """Collect in a process of its own; `watched`: processes, by name, whose open files are counted meanwhile.

    Raises RuntimeError where the collector fails.
    """
    folder = Path(collection.folder)
    tasks = (orjson.dumps(task_row(index)) + b"\n" for index in range(collection.rollouts // collection.repeats))
    _write(folder / "rows.jsonl", tasks)
    with subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        files = _OpenFiles({**(watched or {}), "collector": child.pid})
        with files:
            _, errors = child.communicate(orjson.dumps(collection))
    if child.returncode != 0:
        raise RuntimeError(f"the collector ended with exit code {child.returncode}:\n{errors.decode()[-4000:]}")
    return Outcome(**{**orjson.loads((folder / "outcome.json").read_bytes()), "most_files": files.most})


class _OpenFiles:
    """Counts now and then how many files processes have open."""

    def __init__(self, pids: dict[str, int]) -> None:
        self.most = dict.fromkeys(pids, 0)
        self._pids = pids
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_WATCH_EVERY_S):
            for name, pid in self._pids.items():
                try:
                    self.most[name] = max(self.most[name], sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))
                except FileNotFoundError:
                    continue


class _TimedLoop(uvloop.Loop):
    """Notes how long connections take."""

    def __init__(self) -> None:
        super().__init__()
        self.connects_ms: list[float] = []

    async def create_connection(self, factory: Callable[[], Any], *args: Any, **options: Any) -> Any:
        started = time.perf_counter()
        made = await super().create_connection(factory, *args, **options)
        self.connects_ms.append((time.perf_counter() - started) * 1e3)
        return made


async def _collect(collection: Collection) -> Outcome:
    """Runs in the child process."""
    started = time.perf_counter()
    begun = ended = 0.0

    def note(tally: Tally) -> None:
        nonlocal begun, ended
        ended = time.perf_counter()
        begun = begun or ended

    http = HttpClient()
    head = urlsplit(collection.head_url)
    folder = Path(collection.folder)
    options = CollectionOptions(
        input_path=folder / "rows.jsonl",
        output_path=folder / "results.jsonl",
        plan=PlanOptions(agent_name=collection.agent, num_repeats=collection.repeats),
        num_parallel=collection.concurrency,
        rollout_timeout_s=collection.timeout_s,
        overwrite=True,
    )
    try:
        client = await running_servers(HeadServerAddress(host=head.hostname, port=head.port), http)
        done = await collect(client, options, on_progress=note)
    finally:
        await http.close()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _TimedLoop)
    return Outcome(
        completed=done.tally.completed,
        failed={name: count for name, count in done.tally.failed.items() if count},
        last_failure=done.tally.last_failure,
        wall_s=ended - begun,
        total_s=time.perf_counter() - started,
        connects_ms=sorted(loop.connects_ms),
        peak_rss_mb=peak_rss_bytes(os.getpid()) / 1e6,
    )


def _write(path: Path, lines: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.writelines(lines)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_TimedLoop) as runner:
        asked = Collection(**orjson.loads(sys.stdin.buffer.read()))
        outcome = runner.run(_collect(asked))
    Path(asked.folder, "outcome.json").write_bytes(orjson.dumps(outcome))
