"""Tables as Markdown, which reads well in a terminal and in the documentation."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, numbers to the right."""
    widths = [max(len(line[column]) for line in [header, *rows]) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    first, *others = widths
    rule = f"| {'-' * first} | {' | '.join('-' * (width - 1) + ':' for width in others)} |"
    return "\n".join([line(header), rule, *map(line, rows)])


def machine() -> str:
    """Where a figure is from: interpreter, cores, system."""
    cores = len(os.sched_getaffinity(0))
    return f"{platform.python_implementation()} {platform.python_version()}, {cores} cores, {platform.system()}"
