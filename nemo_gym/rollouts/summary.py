"""The summary of a collection: metrics by agent, failures by class with an example, the sum, where the files are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nemo_gym.rollouts.agent_metrics import AgentMetrics
from nemo_gym.rollouts.collection import Collected
from nemo_gym.schemas.rollout import FAILURE, FAILURE_CLASS

MESSAGE_LENGTH = 160


@dataclass(frozen=True)
class FailureExample:
    """The failures of one class, with what one of them says."""

    failure_class: str
    count: int
    where: str
    """Stage and server."""
    message: str


def print_summary(collected: Collected, console: Console) -> None:
    """What a user wants to know at the end, in as few lines as it takes."""
    for entry in collected.metrics.entries:
        console.print(_metrics_table(entry))
    for note in collected.metrics.notes:
        console.print(f"[yellow]note:[/] {escape(note)}")
    failures = failure_examples(collected.files.failures)
    if failures:
        console.print(_failures_table(failures))
    console.print(str(collected.tally), highlight=False, soft_wrap=True)
    files = collected.files
    for what, path in (("results", files.results), ("failures", files.failures), ("metrics", files.metrics)):
        console.print(f"{what:<9}{escape(str(path))}", highlight=False, soft_wrap=True)


def failure_examples(path: Path) -> list[FailureExample]:
    """The failures in a failures file by class, the most frequent first."""
    counts: Counter[str] = Counter()
    examples: dict[str, tuple[str, str]] = {}
    with path.open("rb") as file:
        for line in file:
            failed = orjson.loads(line)
            name = str(failed[FAILURE_CLASS])
            counts[name] += 1
            if name not in examples:
                failure = failed.get(FAILURE) or {}
                where = " ".join(str(failure[key]) for key in ("stage", "server") if failure.get(key))
                examples[name] = (where, " ".join(str(failure.get("message", "")).split())[:MESSAGE_LENGTH])
    return [FailureExample(name, count, *examples[name]) for name, count in counts.most_common()]


def _metrics_table(entry: AgentMetrics) -> Table:
    table = Table(title=entry.agent_ref["name"], title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in entry.key_metrics.items():
        table.add_row(escape(name), f"{value:.4g}" if isinstance(value, float) else str(value))
    return table


def _failures_table(failures: list[FailureExample]) -> Table:
    table = Table(title="failures", title_justify="left")
    for heading in ("class", "number", "where", "for example"):
        table.add_column(heading)
    for each in failures:
        table.add_row(each.failure_class, str(each.count), each.where, escape(each.message))
    return table
