"""What a rollout costs: runs the collector against running servers and takes the difference over its steady part."""

from __future__ import annotations

import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.benchmarks.fake_model import FakeModelCounts, FakeModelSettings
from tests.benchmarks.floor import Floor, hops_of, measure_floor
from tests.benchmarks.gym_under_test import AGENT, GymUnderTest, command
from tests.benchmarks.local_server import LocalServer, ask
from tests.benchmarks.process_stats import peak_rss_bytes, process_tree
from tests.benchmarks.task_rows import task_row

_POLL_S = 0.02


@dataclass(frozen=True)
class Load:
    """What is run."""

    tool_calls: int
    """Per rollout, one per model call."""
    model_latency_ms: float
    rollouts: int
    """Counted ones."""
    warm_up: int
    """Rollouts before them: imports, connections and caches are then in place."""
    concurrency: int
    """Rollouts in flight at a time."""

    @property
    def total(self) -> int:
        """With those at the end, which are not counted because fewer and fewer are in flight."""
        return self.warm_up + self.rollouts + 2 * self.concurrency


@dataclass(frozen=True)
class RolloutCost:
    """What one load cost."""

    load: Load
    rollouts_per_s: float
    """Over the steady part."""
    cpu_ms: dict[str, float]
    """Per rollout, by process: each server by its instance name, `collector` and `launcher`."""
    fake_model_cpu_ms: float
    """Per rollout. Not part of the figure."""
    peak_rss_mb: dict[str, float]
    """By process, MB of 10^6 bytes: of servers since they were started, of the collector to the end of what counts."""
    requests: float
    """HTTP requests per rollout, counted by those that answered them."""
    floor: Floor

    @property
    def total_cpu_ms(self) -> float:
        return sum(self.cpu_ms.values())

    @property
    def times_floor(self) -> float:
        """How many times the floor's CPU."""
        return self.total_cpu_ms / self.floor.cpu_ms


@dataclass(frozen=True)
class _Snapshot:
    at_s: float
    cpu_s: dict[str, float]
    fake_model_cpu_s: float
    finished: int


def measure(gym: GymUnderTest, fake_model: LocalServer, load: Load) -> RolloutCost:
    """Collect that load once, then measure the floor of the same rollouts.

    Raises RuntimeError where the collector failed or a rollout did not go as the fake model played it.
    """
    settings = FakeModelSettings(load.tool_calls, load.model_latency_ms)
    ask(f"{fake_model.url}/settings", "PUT", orjson.dumps(settings))
    folder = Path(tempfile.mkdtemp(prefix=f"{load.tool_calls}_tool_calls_", dir=gym.folder))
    inputs, results, log = folder / "rows.jsonl", folder / "results.jsonl", folder / "collector.log"
    inputs.write_bytes(b"".join(orjson.dumps(task_row(index)) + b"\n" for index in range(load.total)))
    requests, counts = gym.requests(), _counts(fake_model)
    arguments = [
        f"+agent_name={AGENT}",
        f"+input_jsonl_fpath={inputs}",
        f"+output_jsonl_fpath={results}",
        f"+num_samples_in_parallel={load.concurrency}",
    ]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [command("ng_collect_rollouts"), *arguments], cwd=gym.folder, stdout=output, stderr=subprocess.STDOUT
        ) as collector,
    ):
        begin = _when_finished(load.warm_up, collector, gym, fake_model, counts)
        end = _when_finished(load.warm_up + load.rollouts, collector, gym, fake_model, counts)
        collector_peak_mb = peak_rss_bytes(collector.pid) / 1e6
    if collector.returncode != 0:
        raise RuntimeError(f"the collector ended with exit code {collector.returncode}:\n{log.read_text()}")
    result = _check(results, load)
    requests = gym.requests() - requests + _counts(fake_model).requests - counts.requests
    measured = end.finished - begin.finished
    return RolloutCost(
        load=load,
        rollouts_per_s=measured / (end.at_s - begin.at_s),
        cpu_ms={name: (end.cpu_s[name] - begin.cpu_s[name]) / measured * 1e3 for name in end.cpu_s},
        fake_model_cpu_ms=(end.fake_model_cpu_s - begin.fake_model_cpu_s) / measured * 1e3,
        peak_rss_mb={"collector": collector_peak_mb, **{n: peak_rss_bytes(pid) / 1e6 for n, pid in gym.pids().items()}},
        requests=requests / load.total,
        floor=measure_floor(
            hops_of(task_row(0), result), rollouts=load.rollouts, warm_up=load.warm_up, concurrency=load.concurrency
        ),
    )


def _when_finished(
    rollouts: int,
    collector: subprocess.Popen[bytes],
    gym: GymUnderTest,
    fake_model: LocalServer,
    before: FakeModelCounts,
) -> _Snapshot:
    """The state at the moment when the last model call of that many rollouts is answered.

    The fake model is asked for it, because asking any other process would add to what is measured.
    """
    while (finished := _counts(fake_model).messages - before.messages) < rollouts and collector.poll() is None:
        time.sleep(_POLL_S)
    return _Snapshot(
        at_s=time.perf_counter(),
        cpu_s={"collector": _cpu_s(collector.pid), **gym.cpu_s()},
        fake_model_cpu_s=_cpu_s(fake_model.pid),
        finished=finished,
    )


def _check(results: Path, load: Load) -> dict[str, Any]:
    """One of the results, after making sure that all rollouts are there and as long as they should be."""
    lines = results.read_bytes().splitlines()
    if len(lines) != load.total:
        raise RuntimeError(f"{results}: {len(lines)} results of {load.total} rollouts")
    for line in lines:
        result: dict[str, Any] = orjson.loads(line)
        if len(result["turns"]) != load.tool_calls + 1 or result["reward"] != 1.0:
            raise RuntimeError(f"{results}: a rollout went wrong: {line[:2000].decode()}")
    return result


def _cpu_s(pid: int) -> float:
    return sum(stat.cpu_s for stat in process_tree(pid))


def _counts(fake_model: LocalServer) -> FakeModelCounts:
    return FakeModelCounts(**orjson.loads(ask(f"{fake_model.url}/counts")))
