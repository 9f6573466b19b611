"""Whether two results are the same, and what a result looks like to the policy. Pure functions."""

from __future__ import annotations

import math
import re
from typing import Any

from resources_servers.text_to_sql.engine import QueryResult

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-9, 1e-12
"""Between two fractional numbers that count as the same."""
MAX_SHOWN_ROWS = 50
MAX_CELL_CHARS = 200
MAX_SHOWN_CHARS = 4_000

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_ORDER_BY = re.compile(r"\border\s+by\b", re.IGNORECASE)

Row = tuple[Any, ...]


def same_results(found: QueryResult, gold: QueryResult, *, ordered: bool) -> bool:
    """Whether both hold the same rows, equal rows as often, in the same order if `ordered`.

    Names of columns do not count, their order does. Whole numbers are compared exactly, fractional ones within the
    tolerance; 1 equals 1.0.
    """
    if not found.ok or not gold.ok or found.cut or gold.cut or len(found.rows) != len(gold.rows):
        return False
    one, other = (rows if ordered else sorted(rows, key=_rank) for rows in (found.rows, gold.rows))
    return all(map(_same_row, one, other))


def is_ordered(sql: str) -> bool:
    """Whether a query has an ORDER BY of its own, not only within parentheses."""
    depth, outside = 0, []
    for sign in _QUOTED.sub(" ", sql):
        depth += (sign == "(") - (sign == ")")
        outside.append(sign if depth == 0 else " ")
    return _ORDER_BY.search("".join(outside)) is not None


def shown(result: QueryResult) -> str:
    """The result as text: names of the columns, then the rows as they came; how much is left out is said."""
    if result.timed_out:
        return "The query took too long and was stopped."
    if result.error is not None:
        return f"Error: {result.error}"
    lines = [" | ".join(result.columns)[:MAX_SHOWN_CHARS]]
    size = len(lines[0])
    for row in result.rows[:MAX_SHOWN_ROWS]:
        line = " | ".join(map(_cell, row))
        size += len(line) + 1
        if size > MAX_SHOWN_CHARS:
            break
        lines.append(line)
    left_out = len(result.rows) - (len(lines) - 1)
    if not result.rows:
        lines.append("(no rows)")
    if left_out or result.cut:
        lines.append(f"({'more than ' if result.cut else ''}{len(result.rows)} rows, {len(lines) - 1} shown)")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    text = str(value).replace("\n", " ")
    return text if len(text) <= MAX_CELL_CHARS else f"{text[:MAX_CELL_CHARS]}…"


def _rank(row: Row) -> tuple[Any, ...]:
    """Sorts rows, fractions last, so that rows whose fractions differ a little stand at the same place."""
    exact = tuple((str(type(value)), value) for value in map(_whole, row) if value is not None and value == value)
    kinds = tuple("" if value is None else str(type(_whole(value))) for value in row)
    firm = tuple(pair for pair in exact if pair[0] != str(float))
    return kinds, firm, tuple(value for kind, value in exact if kind == str(float))


def _same_row(one: Row, other: Row) -> bool:
    return len(one) == len(other) and all(map(_same_value, one, other))


def _same_value(one: Any, other: Any) -> bool:
    one, other = _whole(one), _whole(other)
    if isinstance(one, float) and isinstance(other, int | float):
        if math.isnan(one) or (isinstance(other, float) and math.isnan(other)):
            return isinstance(other, float) and math.isnan(one) and math.isnan(other)
        try:
            return math.isclose(one, other, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
        except OverflowError:
            return False
    if isinstance(other, float) and isinstance(one, int):
        return _same_value(other, one)
    return type(one) is type(other) and bool(one == other)


def _whole(value: Any) -> Any:
    """A number without a fraction as int; all else as it is."""
    if isinstance(value, bool):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
