"""CPU, memory and start-up time of rollouts, by process: `python -m tests.benchmarks.rollouts [--help]`.

The real servers, started by `ng_run`, and the real collector run rollouts against a model that costs next to nothing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import orjson

from tests.benchmarks.gym_under_test import GymUnderTest, benchmark_arguments, gym_under_test
from tests.benchmarks.local_server import local_server
from tests.benchmarks.report import Report, Target
from tests.benchmarks.rollout_cost import Load, RolloutCost, measure
from tests.benchmarks.table import machine, markdown_table

LOADS = [Load(tool_calls, 0.0, rollouts=600, warm_up=120, concurrency=32) for tool_calls in (0, 1, 5)]
TENTH_CPU_MS = {0: 1.6, 1: 2.5, 5: 5.2}
"""By tool calls, on CPython 3.11: a tenth of what NeMo Gym v0.5 takes."""
_COLUMNS = {
    "collector": "collector",
    "benchmark_simple_agent": "agent",
    "policy_model": "model server",
    "benchmark": "resources",
    "launcher": "launcher, head",
}


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    options = _parser().parse_args(argv)
    warm_up = max(2 * options.concurrency, options.rollouts // 5)
    loads = [
        Load(tool_calls, options.model_latency_ms, options.rollouts, warm_up, options.concurrency)
        for tool_calls in options.tool_calls
    ]
    print(report(loads, options.repeats, options.json, in_process=options.in_process))


def report(
    loads: Sequence[Load] = LOADS, repeats: int = 2, json: Path | None = None, *, in_process: bool = False
) -> Report:
    """CPU and memory of each load, measured `repeats` times; all figures go to the file `json` as well.

    `in_process`: with all servers in the launcher's process.
    """
    load_before = os.getloadavg()[0]
    with (
        local_server("tests.benchmarks.fake_model") as fake_model,
        tempfile.TemporaryDirectory() as folder,
        gym_under_test(Path(folder), [*benchmark_arguments(fake_model.url), f"+in_process={in_process}"]) as gym,
    ):
        costs = [least([measure(gym, fake_model, load) for _ in range(repeats)]) for load in loads]
        if json is not None:
            json.write_bytes(figures(gym, costs))
    said = (
        f"Load average {load_before:.1f} before; {loads[0].concurrency} rollouts in flight, model latency"
        f" {loads[0].model_latency_ms:g} ms; {len(gym.servers)} servers and the head server ready after"
        f" {gym.ready_s:.2f} s"
    )
    return Report((said, cpu_table(costs), memory_table(costs)), tuple(targets(costs, gym.ready_s)))


def targets(costs: list[RolloutCost], ready_s: float) -> list[Target]:
    """CPU beside a tenth of the system that these servers took the place of, speed, and the start."""
    found = [
        Target(
            f"CPU of a rollout with {cost.load.tool_calls} tool calls",
            f"{TENTH_CPU_MS[cost.load.tool_calls]} ms",
            f"{cost.total_cpu_ms:.2f} ms",
            cost.total_cpu_ms <= TENTH_CPU_MS[cost.load.tool_calls],
            f"{cost.times_floor:.1f} times the floor",
        )
        for cost in costs
        if cost.load.tool_calls in TENTH_CPU_MS
    ]
    found += [
        Target("rollouts with 5 tool calls", "400/s", f"{cost.rollouts_per_s:.0f}/s", cost.rollouts_per_s >= 400)
        for cost in costs
        if cost.load.tool_calls == 5 and cost.load.model_latency_ms == 0
    ]
    return [*found, Target("three servers and the head server, ready", "2 s", f"{ready_s:.2f} s", ready_s <= 2)]


def least(costs: list[RolloutCost]) -> RolloutCost:
    """The cheapest measurement, beside the cheapest floor: what else runs on a machine only adds to both.

    Memory is that of the last one, since a peak can only rise.
    """
    floor = min((cost.floor for cost in costs), key=lambda floor: floor.cpu_ms)
    cheapest = min(costs, key=lambda cost: cost.total_cpu_ms)
    return replace(cheapest, floor=floor, peak_rss_mb=costs[-1].peak_rss_mb)


def cpu_table(costs: list[RolloutCost]) -> str:
    """CPU-ms per rollout by process, beside the floor."""
    header = ["tool calls", "rollouts/s", "requests", "CPU-ms", *_COLUMNS.values(), "(fake model)", "floor", "x floor"]
    return markdown_table(
        header,
        [
            [
                str(cost.load.tool_calls),
                f"{cost.rollouts_per_s:.0f}",
                f"{cost.requests:.1f}",
                f"{cost.total_cpu_ms:.2f}",
                *(f"{cost.cpu_ms[name]:.2f}" for name in _COLUMNS),
                f"({cost.fake_model_cpu_ms:.2f})",
                f"{cost.floor.cpu_ms:.2f}",
                f"{cost.times_floor:.1f}",
            ]
            for cost in costs
        ],
    )


def memory_table(costs: list[RolloutCost]) -> str:
    """Peak memory by process, MB."""
    return markdown_table(
        ["tool calls", "peak MB, all", *_COLUMNS.values()],
        [
            [
                str(cost.load.tool_calls),
                f"{sum(cost.peak_rss_mb.values()):.0f}",
                *(f"{cost.peak_rss_mb[name]:.0f}" for name in _COLUMNS),
            ]
            for cost in costs
        ],
    )


def figures(gym: GymUnderTest, costs: list[RolloutCost]) -> bytes:
    """All that was measured, as JSON."""
    rows = [{**asdict(cost), "total_cpu_ms": cost.total_cpu_ms, "times_floor": cost.times_floor} for cost in costs]
    return orjson.dumps({"machine": machine(), "ready_s": gym.ready_s, "costs": rows}, option=orjson.OPT_INDENT_2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.rollouts", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=1000, help="counted rollouts per line of the table")
    parser.add_argument("--repeats", type=int, default=3, help="measurements per line, of which the cheapest is shown")
    parser.add_argument("--concurrency", type=int, default=32, help="rollouts in flight at a time")
    parser.add_argument("--tool-calls", type=int, nargs="+", default=[0, 1, 5], help="one line of the table for each")
    parser.add_argument("--model-latency-ms", type=float, default=0.0, help="how long the model takes for an answer")
    parser.add_argument("--in-process", action="store_true", help="all servers in the launcher's process")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    return parser


if __name__ == "__main__":
    main()
