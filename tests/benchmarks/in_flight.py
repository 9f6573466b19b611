"""Rollouts in flight on one host, from 32 to 16,384: `python -m tests.benchmarks.in_flight [--help]`.

The real servers and the real collector, one model call a rollout, and a model that takes its time, so that all are in
flight at once. Then the wall clock beside the ideal one, where each rollout has five tool calls and a model call takes
half a second: what the servers add to that.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from tests.benchmarks.collecting import Collection, Outcome, collected
from tests.benchmarks.fake_model import FakeModelSettings
from tests.benchmarks.gym_under_test import AGENT, GymUnderTest, benchmark_arguments, gym_under_test
from tests.benchmarks.local_server import LocalServer, ask, local_server
from tests.benchmarks.process_stats import peak_rss_bytes, process_tree
from tests.benchmarks.report import Report, Target
from tests.benchmarks.table import markdown_table

WORKERS = {"agent": 4, "policy_model": 4, "benchmark": 2}
"""A worker holds a connection for each rollout it runs and one for each call that waits: with a limit of 20,000 open
files, as on most machines, 16,384 rollouts are too many for one."""
SHORT = (32, 1_024)
FULL = (32, 1_024, 16_384)
WALL_CLOCK = (16, 128, 1_024)
_CALL_S = 0.5
_TOOL_CALLS = 5


@dataclass(frozen=True)
class Level:
    """What is run."""

    concurrency: int
    rollouts: int
    tool_calls: int
    latency_s: float
    """Of each model call."""

    @classmethod
    def in_flight(cls, concurrency: int) -> Level:
        """The more rollouts, the longer the model takes: starting them takes a while, and all shall run at once."""
        latency_s = 2.0 if concurrency <= 1_024 else 30.0
        return cls(concurrency, concurrency * (2 if concurrency <= 1_024 else 1), 0, latency_s)

    @classmethod
    def at_half_a_second(cls, concurrency: int) -> Level:
        """So many rollouts that they take a dozen seconds."""
        return cls(concurrency, 4 * concurrency, _TOOL_CALLS, _CALL_S)

    @property
    def ideal_s(self) -> float:
        """If nothing but the model took time."""
        return self.rollouts / self.concurrency * (self.tool_calls + 1) * self.latency_s


@dataclass(frozen=True)
class Flight:
    """What came of it."""

    level: Level
    outcome: Outcome
    most_at_model: int
    """Model calls that waited at once."""
    peak_mb: float
    """All processes but the model together, MB of 10^6 bytes."""
    cpu_s: float
    """Of the servers."""

    @property
    def most_files(self) -> tuple[str, int]:
        """The process that had most files open, and how many."""
        files = self.outcome.most_files
        name = max(files, key=lambda process: files[process])
        return name, files[name]

    @property
    def over_ideal(self) -> float:
        """How much longer than the ideal it took, as a part of that."""
        return self.outcome.wall_s / self.level.ideal_s - 1


def report(in_flight: Sequence[int] = SHORT, wall_clock: Sequence[int] = WALL_CLOCK) -> Report:
    """The curve, and the wall clock beside the ideal one."""
    levels = [Level.in_flight(concurrency) for concurrency in in_flight]
    walls = [Level.at_half_a_second(concurrency) for concurrency in wall_clock]
    flights = fly([*levels, *walls])
    curve, clocks = flights[: len(levels)], flights[len(levels) :]
    tables = [flight_table(curve)] * bool(curve) + [wall_table(clocks)] * bool(clocks)
    return Report(tuple(tables), tuple(targets(curve, clocks)))


def fly(levels: Sequence[Level]) -> list[Flight]:
    """Each level after the other, on the same servers."""
    with (
        local_server("tests.benchmarks.fake_model") as model,
        tempfile.TemporaryDirectory() as folder,
        gym_under_test(Path(folder), benchmark_arguments(model.url, **WORKERS)) as gym,
    ):
        return [_fly(gym, model, level, Path(folder, f"level_{number}")) for number, level in enumerate(levels)]


def _fly(gym: GymUnderTest, model: LocalServer, level: Level, folder: Path) -> Flight:
    settings = FakeModelSettings(level.tool_calls, 1e3 * level.latency_s)
    ask(f"{model.url}/settings", "PUT", orjson.dumps(settings))
    collection = Collection(gym.head_url, str(folder), AGENT, level.rollouts, level.concurrency)
    cpu_before = sum(gym.cpu_s().values())
    outcome = collected(collection, gym.pids())
    servers_mb = sum(peak_rss_bytes(stat.pid) for stat in process_tree(gym.pid)) / 1e6
    return Flight(
        level=level,
        outcome=outcome,
        most_at_model=orjson.loads(ask(f"{model.url}/counts"))["most_waiting"],
        peak_mb=servers_mb + outcome.peak_rss_mb,
        cpu_s=sum(gym.cpu_s().values()) - cpu_before,
    )


def flight_table(flights: list[Flight]) -> str:
    """The curve."""
    header = ["in flight", "at the model", "completed", "failed", "wall s", "ideal s", "connections", "connect p50 ms"]
    return markdown_table(
        [*header, "p99 ms", "max ms", "most open files", "peak MB, all"],
        [
            [
                f"{flight.level.concurrency:,}",
                f"{flight.most_at_model:,}",
                f"{flight.outcome.completed:,}",
                str(sum(flight.outcome.failed.values())),
                f"{flight.outcome.wall_s:.1f}",
                f"{flight.level.ideal_s:.1f}",
                f"{len(flight.outcome.connects_ms):,}",
                *(f"{flight.outcome.connect_ms(quantile):.1f}" for quantile in (0.5, 0.99, 1.0)),
                f"{flight.most_files[1]:,} ({flight.most_files[0]})",
                f"{flight.peak_mb:.0f}",
            ]
            for flight in flights
        ],
    )


def wall_table(flights: list[Flight]) -> str:
    """Wall clock beside the ideal one."""
    return markdown_table(
        ["in flight", "rollouts", "wall s", "ideal s", "above", "servers' CPU s", "rollouts/s"],
        [
            [
                f"{flight.level.concurrency:,}",
                f"{flight.outcome.completed:,}",
                f"{flight.outcome.wall_s:.2f}",
                f"{flight.level.ideal_s:.2f}",
                f"{100 * flight.over_ideal:.1f} %",
                f"{flight.cpu_s:.1f}",
                f"{flight.outcome.completed / flight.outcome.wall_s:.0f}",
            ]
            for flight in flights
        ],
    )


def targets(flights: list[Flight], walls: list[Flight]) -> list[Target]:
    """Whether all succeeded, and how near the ideal they came."""
    return [
        *(
            Target(
                f"{flight.level.concurrency:,} rollouts in flight",
                "all succeed",
                f"{flight.outcome.completed:,} of {flight.level.rollouts:,}",
                flight.outcome.completed == flight.level.rollouts,
                flight.outcome.last_failure[:100] or f"connect p99 {flight.outcome.connect_ms(0.99):.0f} ms",
            )
            for flight in flights
        ),
        *(
            Target(
                f"wall clock at {flight.level.concurrency:,}, model {1e3 * _CALL_S:.0f} ms a call",
                "ideal + 10 %",
                f"+ {100 * flight.over_ideal:.1f} %",
                flight.over_ideal <= 0.10,
                f"servers need {flight.cpu_s / flight.level.ideal_s:.1f} cores for that, and had"
                f" {flight.cpu_s / flight.outcome.wall_s:.1f}",
            )
            for flight in walls
        ),
    ]


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.in_flight", description=__doc__)
    parser.add_argument("--in-flight", type=int, nargs="*", default=SHORT, help=f"the full curve: {FULL}")
    parser.add_argument("--wall-clock", type=int, nargs="*", default=WALL_CLOCK, help="rollouts in flight there")
    options = parser.parse_args(argv)
    print(report(options.in_flight, options.wall_clock))


if __name__ == "__main__":
    main()
