"""The command line that seeded `prepare.py` files share: so many task rows, from a seed, into a JSON Lines file."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from nemo_gym.errors import DataError

TaskRow = dict[str, Any]
MakeRow = Callable[[random.Random, int], TaskRow]
"""Makes row `index` from a generator that is seeded for this row alone."""
ReadRows = Callable[[Path], Iterable[TaskRow]]
"""Makes task rows of a public data set's file; raises `DataError` naming the line that it cannot use."""

EXAMPLE_ROWS = 5


def make_rows(make_row: MakeRow, *, num_rows: int, seed: int) -> Iterator[TaskRow]:
    """Row i depends on `seed` and i only, so that more rows extend a file without changing those it holds."""
    return (make_row(random.Random(f"{seed}/{index}"), index) for index in range(num_rows))


def write_rows(rows: Iterable[TaskRow], path: Path) -> int:
    """Write one JSON object a line; returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def run_prepare(
    make_row: MakeRow,
    example: Path,
    argv: Sequence[str] | None = None,
    *,
    convert: ReadRows | None = None,
    options: argparse.ArgumentParser | None = None,
) -> str:
    """Parse `--num-rows --seed --output`, write the file, and return one line that says what was written.

    Without arguments the committed `data/example.jsonl` (at `example`) is written again, byte for byte. With `convert`
    there is also `--input`, a public data set's file whose rows are written in place of made ones, `--num-rows` of them
    or all; one that cannot be used ends the program with its line number, and nothing is written. `options` are the
    caller's own (made with `add_help=False`), which it has read already: they are shown by `--help`.
    """
    command = f"python {'/'.join(example.parts[-4:-2])}/prepare.py"
    parser = argparse.ArgumentParser(
        description="Writes seeded task rows, one JSON object a line.",
        epilog=f"example: {command} --num-rows 100 --seed 0 --output train.jsonl",
        parents=[options] if options is not None else [],
    )
    parser.add_argument("--num-rows", type=int, help=f"how many rows (default {EXAMPLE_ROWS}; with --input: all)")
    parser.add_argument("--seed", type=int, default=0, help="other seeds give other rows (default %(default)s)")
    parser.add_argument("--output", type=Path, default=example, help="file to write (default: data/example.jsonl)")
    if convert is not None:
        parser.add_argument("--input", type=Path, help="file of the public data set, to be converted; needs --output")
    chosen = parser.parse_args(argv)
    if chosen.num_rows is not None and chosen.num_rows < 1:
        parser.error("--num-rows must be at least 1")
    rows: Iterable[TaskRow]
    if convert is not None and chosen.input is not None:
        if chosen.output == example:
            parser.error("--input needs --output: the file for the converted rows")
        try:
            rows = list(islice(convert(chosen.input), chosen.num_rows))
        except DataError as error:
            parser.exit(2, f"{error}\n")
    else:
        rows = make_rows(make_row, num_rows=chosen.num_rows or EXAMPLE_ROWS, seed=chosen.seed)
    count = write_rows(rows, chosen.output)
    return f"{count} rows written to {chosen.output}"
