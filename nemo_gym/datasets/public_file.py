"""The rows of a public data set's file, JSON Lines or parquet, each with its number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nemo_gym.errors import DataError
from nemo_gym.rollouts.rows import Line, parse_object, read_lines


def numbered_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a `.parquet` file, else of one with a JSON object on each line; numbers count from 1.

    Raises `DataError` with the number of the first row that is none, and where the file cannot be read.
    """
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    for line in read_lines(path):
        yield line.number, parse_object(path, line)


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        from pyarrow.parquet import ParquetFile  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        message = "a parquet file needs the package pyarrow: `pip install pyarrow`, or convert it to JSON Lines"
        raise DataError(str(path), None, message) from None
    try:
        batches = ParquetFile(path).iter_batches()
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise DataError(str(path), None, f"cannot be read: {error}") from error
    rows = (row for batch in batches for row in batch.to_pylist())
    # Through JSON, so that what JSON cannot hold is found here and not when the row is written.
    for number, row in enumerate(rows, start=1):
        yield number, parse_object(path, Line(number, json.dumps(row, default=str).encode()))
