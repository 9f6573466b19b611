"""A table of servers as text, for `ng_run` and `ng_status`."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from nemo_gym.serving.runs import ServerStatus

KINDS = {"resources_servers": "resources", "responses_api_agents": "agent", "responses_api_models": "model"}
"""Server types, in one word."""
UNLIMITED_WIDTH = 240
"""Where the output is no terminal, nothing is folded."""
GAP = 2
"""Blanks between columns."""


def server_table(columns: Sequence[str], rows: Sequence[Sequence[str]], optional: Sequence[str] = ()) -> str:
    """Cells aligned below their columns. On a narrow terminal `optional` columns are left out, the first ones first;
    what is too wide even so is folded, never cut, URLs last.
    """
    on_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if on_terminal else UNLIMITED_WIDTH
    for column in optional:
        if _width(columns, rows) > width:
            at = columns.index(column)
            columns, rows = _without(columns, at), [_without(row, at) for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column == "URL", overflow="fold")
    for row in rows:
        table.add_row(*row)
    text = io.StringIO()  # not the terminal itself, which may be stopped
    Console(file=text, width=width, force_terminal=on_terminal).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    return sum(max(map(len, cells)) + GAP for cells in zip(columns, *rows, strict=True)) - GAP


def _without(cells: Sequence[str], at: int) -> list[str]:
    return [*cells[:at], *cells[at + 1 :]]


def name_of(status: ServerStatus) -> str:
    """The instance's name; its further workers are numbered."""
    return status.name if status.worker == 0 else f"{status.name} ({status.worker})"
