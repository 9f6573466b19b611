"""Plays every case and prints a table of how each ended: `python -m tests.faults [words of names] [--show]`."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.table import machine
from tests.faults.case import Drill, Fault, Report, Scene, play_drill, play_fault
from tests.faults.catalogue import FAULTS
from tests.faults.drills import DRILLS
from tests.faults.gym import FaultyGym, faulty_gym

SEED = 6
_COLUMNS = ("requested", "completed", "failed", "not run", "calls", "orphans", "lines", "ok")
_HEADER = ("case", "ended in s / deadline", *_COLUMNS)
_WIDTHS = (37, 21, 9, 9, 30, 7, 5, 7, 5, 3)


def reports(chosen: list[Fault | Drill], scratch: Path) -> Iterator[Report]:
    """Play them one after another; all that can live together share one gym."""
    models = {"faulty", *(case.agent.removesuffix("_agent") for case in chosen if isinstance(case, Fault))}
    with ExitStack() as stack:
        shared: FaultyGym | None = None
        for number, case in enumerate(chosen):
            folder = scratch / str(number)
            if isinstance(case, Drill) and case.own_gym is not None:
                yield play_drill_alone(case, scratch / f"gym_{number}", folder, is_long=True)
                continue
            if shared is None:
                home = scratch / "gym"
                home.mkdir()
                shared = stack.enter_context(faulty_gym(home, models=models))
            if isinstance(case, Fault):
                yield play_fault(case, shared, folder, first=1000 * number)
            else:
                folder.mkdir()
                yield play_drill(case, Scene(shared, folder, random.Random(SEED), is_long=True))


def play_drill_alone(drill: Drill, home: Path, folder: Path, *, is_long: bool) -> Report:
    home.mkdir()
    folder.mkdir()
    assert drill.own_gym is not None
    with faulty_gym(home, more=drill.own_gym.environment(home), models=["faulty"]) as gym:
        return play_drill(drill, Scene(gym, folder, random.Random(SEED), is_long))


def line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)) + " |"


def cells(report: Report) -> tuple[str, ...]:
    outcome = report.outcome
    classes = ", ".join(f"{kind} {count}" for kind, count in sorted(outcome.failed.items()))
    return (
        report.name,
        f"{report.ended_s:.1f} / {report.deadline_s:g}",
        str(outcome.requested),
        str(outcome.completed),
        classes or "0",
        str(outcome.not_run),
        "" if report.calls is None else str(report.calls),
        str(len(outcome.orphans)),
        str(len(outcome.message)),
        "no" if report.problems else "yes",
    )


def main(arguments: list[str]) -> int:
    words = [argument for argument in arguments if not argument.startswith("-")]
    cases: list[Fault | Drill] = [*FAULTS, *DRILLS]
    chosen = [case for case in cases if not words or any(word in case.name for word in words)]
    print(f"{machine()}\n\n{line(_HEADER)}\n{line(tuple('-' * width for width in _WIDTHS))}")
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        for report in reports(chosen, Path(scratch)):
            print(line(cells(report)), flush=True)
            wrong += bool(report.problems)
            for problem in report.problems:
                print(f"    {problem}", flush=True)
            if report.problems or "--show" in arguments:
                print("\n".join(f"    > {said}" for said in report.outcome.message), flush=True)
    print(f"\n{len(chosen) - wrong} of {len(chosen)} cases ended as promised")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
