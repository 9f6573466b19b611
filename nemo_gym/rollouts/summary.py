"""The summary of a collection: metrics by agent, failures by class with an example, the sum, where the files are."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nemo_gym.rollouts.agent_metrics import AgentMetrics
from nemo_gym.rollouts.collection import Collected
from nemo_gym.rollouts.failures import failure_examples


def print_summary(collected: Collected, console: Console) -> None:
    """What a user wants to know at the end, in as few lines as it takes."""
    for entry in collected.metrics.entries:
        console.print(_metrics_table(entry))
    for note in collected.metrics.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False, soft_wrap=True)
    for failure in failure_examples(collected.files.failures):
        console.print(f"[red]failed[/]   {escape(str(failure))}", highlight=False, soft_wrap=True)
    console.print(str(collected.tally), highlight=False, soft_wrap=True)
    files = collected.files
    for what, path in (("results", files.results), ("failures", files.failures), ("metrics", files.metrics)):
        console.print(f"{what:<9}{escape(str(path))}", highlight=False, soft_wrap=True)


def _metrics_table(entry: AgentMetrics) -> Table:
    table = Table(title=entry.agent_ref["name"], title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in entry.key_metrics.items():
        table.add_row(escape(name), f"{value:.4g}" if isinstance(value, float) else str(value))
    return table
