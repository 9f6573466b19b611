"""Every benchmark in its short form, then all targets beside their figures: `make bench`, a few minutes.

`python -m tests.benchmarks [name ...]` runs only those named. Each is a command of its own as well, with longer forms:
`python -m tests.benchmarks.<name> --help`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from tests.benchmarks import (
    clients,
    concurrency,
    endpoints,
    idle_gaps,
    imports,
    in_flight,
    memory,
    rollouts,
    sessions,
    turns,
)
from tests.benchmarks.report import Report, Target, target_table
from tests.benchmarks.table import machine

BENCHMARKS: dict[str, Callable[[], Report]] = {
    "imports": imports.report,
    "clients": clients.report,
    "endpoints": endpoints.report,
    "rollouts": rollouts.report,
    "turns": turns.report,
    "in_flight": in_flight.report,
    "concurrency": concurrency.report,
    "sessions": sessions.report,
    "idle_gaps": idle_gaps.report,
    "memory": memory.report,
}


def main(names: list[str]) -> int:
    """Exit code 1 where a benchmark could not be run; a missed target is none of that."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark `{unknown[0]}`; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    targets: list[Target] = []
    failed = False
    for name in names or BENCHMARKS:
        print(f"== {name}: python -m tests.benchmarks.{name}\n", flush=True)
        started = time.monotonic()
        try:
            found = BENCHMARKS[name]()
        except RuntimeError as error:
            print(error, file=sys.stderr)
            targets.append(Target(name, "runs", "failed", met=False, note=str(error).splitlines()[0]))
            failed = True
        else:
            print(*found.tables, f"({time.monotonic() - started:.0f} s)\n", sep="\n\n", flush=True)
            targets += found.targets
    print(f"== targets: {machine()}\n", target_table(targets), sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
