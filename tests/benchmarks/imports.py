"""What a server costs before it does anything: its import, and its memory. `python -m tests.benchmarks.imports`.

Every import is timed in a fresh process, whose own start is not counted.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.gym_under_test import BENCHMARK_CONFIG, gym_under_test
from tests.benchmarks.process_stats import rss_bytes
from tests.benchmarks.table import machine, markdown_table

PROCESSES = 10
MODULES = (
    "nemo_gym.base_resources_server",
    "nemo_gym.base_responses_api_model",
    "nemo_gym.base_responses_api_agent",
    "fastapi",
)

_TIMED_IMPORT = """
import resource, sys, time
started = time.perf_counter()
__import__(sys.argv[1])
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    """Measure and print."""
    print(machine(), end="\n\n")
    rows = []
    for module in MODULES:
        seconds, rss_kib = import_cost(module)
        rows.append([f"`{module}`", f"{seconds * 1e3:.0f}", f"{rss_kib * 1024 / 1e6:.0f}"])
    print(markdown_table(["import of", f"ms, median of {PROCESSES}", "peak MB"], rows), end="\n\n")
    with tempfile.TemporaryDirectory() as folder:
        arguments = [f"+config_paths=[{BENCHMARK_CONFIG}]", "~benchmark_simple_agent"]
        with gym_under_test(Path(folder), arguments) as gym:
            server = gym.servers["benchmark"]
            print(f"One resources server that nobody has called yet: {rss_bytes(server.pid or 0) / 1e6:.0f} MB,")
            print(f"ready {gym.ready_s:.2f} s after its `ng_run` was started.")


def import_cost(module: str, processes: int = PROCESSES) -> tuple[float, int]:
    """Median over fresh processes: seconds that the import takes, peak memory afterwards in KiB."""
    command = [sys.executable, "-c", _TIMED_IMPORT, module]
    lines = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(processes)]
    seconds, rss_kib = zip(*(line.split() for line in lines), strict=True)
    return statistics.median(map(float, seconds)), int(statistics.median(map(int, rss_kib)))


if __name__ == "__main__":
    main()
