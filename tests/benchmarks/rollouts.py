"""CPU, memory and start-up time of rollouts, by process: `python -m tests.benchmarks.rollouts [--help]`.

The real servers, started by `ng_run`, and the real collector run rollouts against a model that costs next to nothing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import orjson

from tests.benchmarks.gym_under_test import GymUnderTest, benchmark_arguments, gym_under_test
from tests.benchmarks.local_server import local_server
from tests.benchmarks.rollout_cost import Load, RolloutCost, measure
from tests.benchmarks.table import machine, markdown_table

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
    load_before = os.getloadavg()[0]
    with (
        local_server("tests.benchmarks.fake_model") as fake_model,
        tempfile.TemporaryDirectory() as folder,
        gym_under_test(Path(folder), benchmark_arguments(fake_model.url)) as gym,
    ):
        print(f"{machine()}, load average {load_before:.1f} before")
        print(f"{options.concurrency} rollouts in flight, model latency {options.model_latency_ms:g} ms")
        print(f"{len(gym.servers)} servers and the head server were ready after {gym.ready_s:.2f} s\n", flush=True)
        costs = []
        for tool_calls in options.tool_calls:
            warm_up = max(2 * options.concurrency, options.rollouts // 5)
            load = Load(tool_calls, options.model_latency_ms, options.rollouts, warm_up, options.concurrency)
            costs.append(least([measure(gym, fake_model, load) for _ in range(options.repeats)]))
        print(cpu_table(costs), memory_table(costs), sep="\n\n")
        if options.json is not None:
            options.json.write_bytes(figures(gym, costs))


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
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    return parser


if __name__ == "__main__":
    main()
