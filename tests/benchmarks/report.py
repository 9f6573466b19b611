"""What a benchmark found: its tables, and its targets beside their figures, met or missed and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.benchmarks.table import machine, markdown_table


@dataclass(frozen=True)
class Target:
    """One row of the table of targets."""

    measure: str
    target: str
    figure: str
    met: bool
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What one benchmark found."""

    tables: tuple[str, ...]
    targets: tuple[Target, ...]

    def __str__(self) -> str:
        return "\n\n".join([machine(), *self.tables, target_table(self.targets)])


def target_table(targets: Iterable[Target]) -> str:
    """What is missed says so."""
    rows = [[each.measure, each.target, each.figure, "met" if each.met else "MISSED", each.note] for each in targets]
    return markdown_table(["measure", "target", "figure", "", "note"], rows)
