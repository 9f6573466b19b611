"""Memory by the number of rollouts: `python -m tests.benchmarks.memory [--help]`.

First the collector alone, against an agent that costs next to nothing and answers rollouts of some 14 KB; then the real
servers and a model that costs next to nothing. Each figure is the most memory that the process has held so far.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.collecting import Collection, Outcome, collected
from tests.benchmarks.fake_agent import AGENT as FAKE_AGENT
from tests.benchmarks.gym_under_test import AGENT, benchmark_arguments, gym_under_test
from tests.benchmarks.local_server import local_server
from tests.benchmarks.process_stats import peak_rss_bytes
from tests.benchmarks.report import Report, Target
from tests.benchmarks.table import markdown_table

ROLLOUTS = (10_000, 100_000)
WITH_SERVERS = (1_000, 10_000)
_CONCURRENCY = 64
_REPEATS = 5
FLAT_MB = 16.0
"""8 bytes for each of a million rollouts, and as much again for what an allocator holds back."""


@dataclass(frozen=True)
class MemoryPeak:
    """Peak memory after so many rollouts in one collection, MB (10^6 bytes) by process."""

    rollouts: int
    peak_mb: dict[str, float]
    rollouts_per_s: float
    metrics_s: float
    """What the collector took beside the rollouts: for its plan and its metrics."""


def report(rollouts: Sequence[int] = ROLLOUTS, with_servers: Sequence[int] = WITH_SERVERS) -> Report:
    """Both parts."""
    collector = [collector_memory(number) for number in rollouts]
    gym = gym_memory(with_servers)
    return Report((memory_table(collector), memory_table(gym)), tuple(targets(collector, gym)))


def collector_memory(rollouts: int) -> MemoryPeak:
    """Of a collector that collects so many from a stand-in."""
    with local_server("tests.benchmarks.fake_agent") as agent, tempfile.TemporaryDirectory() as folder:
        outcome = collected(Collection(agent.url, folder, FAKE_AGENT, rollouts, _CONCURRENCY, _REPEATS))
    _check(outcome, rollouts)
    speed = rollouts / outcome.wall_s
    return MemoryPeak(rollouts, {"collector": outcome.peak_rss_mb}, speed, outcome.total_s - outcome.wall_s)


def gym_memory(collections: Sequence[int]) -> list[MemoryPeak]:
    """Of collector and servers, after each of these collections, one after another."""
    peaks = []
    with (
        local_server("tests.benchmarks.fake_model") as model,
        tempfile.TemporaryDirectory() as folder,
        gym_under_test(Path(folder), benchmark_arguments(model.url)) as gym,
    ):
        for number, rollouts in enumerate(collections):
            place = str(Path(folder, str(number)))
            outcome = collected(Collection(gym.head_url, place, AGENT, rollouts, _CONCURRENCY, _REPEATS))
            _check(outcome, rollouts)
            servers = {name: peak_rss_bytes(pid) / 1e6 for name, pid in gym.pids().items()}
            peak_mb = {"collector": outcome.peak_rss_mb, **servers}
            speed = rollouts / outcome.wall_s
            peaks.append(MemoryPeak(rollouts, peak_mb, speed, outcome.total_s - outcome.wall_s))
    return peaks


def memory_table(peaks: list[MemoryPeak]) -> str:
    """One line per number of rollouts."""
    names = list(peaks[0].peak_mb)
    return markdown_table(
        ["rollouts", *(f"{name}, MB" for name in names), "rollouts/s", "plan and metrics, s"],
        [
            [
                f"{peak.rollouts:,}",
                *(f"{peak.peak_mb[name]:.0f}" for name in names),
                f"{peak.rollouts_per_s:.0f}",
                f"{peak.metrics_s:.1f}",
            ]
            for peak in peaks
        ],
    )


def targets(collector: list[MemoryPeak], gym: list[MemoryPeak]) -> list[Target]:
    """Whether memory is flat, and small."""
    growth = {"collector": _growth(collector, "collector")}
    growth |= {name: _growth(gym, name) for name in gym[0].peak_mb if name not in ("collector", "launcher")}
    found = [
        Target(
            f"memory of {name}, {of[0].rollouts:,} to {of[-1].rollouts:,} rollouts",
            f"flat (< {FLAT_MB:.0f} MB more)",
            f"{growth[name]:+.1f} MB",
            growth[name] < FLAT_MB,
        )
        for name in growth
        for of in [collector if name == "collector" else gym]
    ]
    servers = {name: mb for name, mb in gym[0].peak_mb.items() if name not in ("collector", "launcher")}
    largest = max(servers, key=lambda name: servers[name])
    note = f"the most of them: {largest}"
    return [*found, Target("memory a server", "60 MB", f"{servers[largest]:.0f} MB", servers[largest] <= 60, note)]


def _growth(peaks: list[MemoryPeak], name: str) -> float:
    return peaks[-1].peak_mb[name] - peaks[0].peak_mb[name]


def _check(outcome: Outcome, rollouts: int) -> None:
    if outcome.completed != rollouts:
        raise RuntimeError(f"{outcome.completed} of {rollouts} rollouts: {outcome.last_failure or outcome.failed}")


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.memory", description=__doc__)
    parser.add_argument("--rollouts", type=int, nargs="+", default=ROLLOUTS, help="collections of the collector alone")
    parser.add_argument(
        "--servers", type=int, nargs="+", default=WITH_SERVERS, help="collections with the real servers"
    )
    options = parser.parse_args(argv)
    print(report(options.rollouts, options.servers))


if __name__ == "__main__":
    main()
