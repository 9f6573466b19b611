"""A target beside its figure, as `make bench` shows them: met, or missed and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.benchmarks.table import markdown_table


@dataclass(frozen=True)
class Target:
    """One row of the table."""

    measure: str
    target: str
    figure: str
    met: bool
    note: str = ""


def target_table(targets: Iterable[Target]) -> str:
    """All of them; what is missed says so."""
    rows = [[each.measure, each.target, each.figure, "met" if each.met else "MISSED", each.note] for each in targets]
    return markdown_table(["measure", "target", "figure", "", "note"], rows)
