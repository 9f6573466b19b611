"""What a server costs before it does anything: its import, and its memory. `python -m tests.benchmarks.imports`.

Every import is timed in a fresh process, whose own start is not counted.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.gym_under_test import BENCHMARK_CONFIG, gym_under_test
from tests.benchmarks.process_stats import rss_bytes
from tests.benchmarks.report import Report, Target
from tests.benchmarks.table import markdown_table

PROCESSES = 10
MODULES = (
    "nemo_gym.base_resources_server",
    "nemo_gym.base_responses_api_model",
    "nemo_gym.base_responses_api_agent",
    "fastapi",
)

_TIMED_IMPORT = """
import sys, time
started = time.perf_counter()
__import__(sys.argv[1])
seconds = time.perf_counter() - started
# Not `getrusage`: its peak is at least that of the process which started this one.
print(seconds, next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


def main() -> None:
    """Measure and print."""
    print(report())


def report() -> Report:
    """Imports, and a server that has been started."""
    costs = import_costs(MODULES)
    rows = []
    for module, of_module in costs.items():
        times_ms = [cost.seconds * 1e3 for cost in of_module]
        peak_mb = statistics.median(cost.peak_rss_mb for cost in of_module)
        rows.append([f"`{module}`", f"{statistics.median(times_ms):.0f}", f"{min(times_ms):.0f}", f"{peak_mb:.0f}"])
    table = markdown_table(["import of", f"ms, median of {PROCESSES}", "ms, least", "peak MB"], rows)
    with tempfile.TemporaryDirectory() as folder:
        arguments = [f"+config_paths=[{BENCHMARK_CONFIG}]", "~benchmark_simple_agent"]
        with gym_under_test(Path(folder), arguments) as gym:
            idle_mb = rss_bytes(gym.servers["benchmark"].pid or 0) / 1e6
    base, alone = (statistics.median(cost.seconds for cost in costs[name]) * 1e3 for name in (MODULES[0], "fastapi"))
    return Report(
        (table,),
        (
            Target(f"import of {MODULES[0]}", "300 ms", f"{base:.0f} ms", base <= 300, f"{alone:.0f} of it FastAPI"),
            Target("a resources server, started and not yet called", "60 MB", f"{idle_mb:.0f} MB", idle_mb <= 60),
            Target("one resources server and the head server, ready", "2 s", f"{gym.ready_s:.2f} s", gym.ready_s <= 2),
        ),
    )


@dataclass(frozen=True)
class ImportCost:
    """One import in one fresh process."""

    seconds: float
    peak_rss_mb: float
    """Of the process afterwards, MB of 10^6 bytes."""


def import_costs(modules: Sequence[str], processes: int = PROCESSES) -> dict[str, list[ImportCost]]:
    """Each module in that many processes. They take turns, so that a busy moment of the machine meets all of them."""
    costs: dict[str, list[ImportCost]] = {module: [] for module in modules}
    for _ in range(processes):
        for module in modules:
            command = [sys.executable, "-c", _TIMED_IMPORT, module]
            answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            seconds, rss_kib = answer.split()
            costs[module].append(ImportCost(float(seconds), int(rss_kib) * 1024 / 1e6))
    return costs


if __name__ == "__main__":
    main()
