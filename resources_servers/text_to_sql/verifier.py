"""Whether two results are the same, and what a result looks like to the policy. Pure functions."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from resources_servers.text_to_sql.engine import QueryResult

DIGITS = 9
"""Significant digits to which numbers are compared."""
MAX_SHOWN_ROWS = 50
MAX_CELL_CHARS = 200
MAX_SHOWN_CHARS = 4_000

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_ORDER_BY = re.compile(r"\border\s+by\b", re.IGNORECASE)


def same_results(found: QueryResult, gold: QueryResult, *, ordered: bool) -> bool:
    """Whether both hold the same rows, equal rows as often, in the same order if `ordered`.

    Names of columns do not count, their order does. Whole numbers equal fractions of the same value; numbers are
    compared to `DIGITS` significant digits.
    """
    if not found.ok or not gold.ok or found.cut or gold.cut:
        return False
    one, other = ([tuple(map(_comparable, row)) for row in result.rows] for result in (found, gold))
    return one == other if ordered else Counter(one) == Counter(other)


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
    lines = [" | ".join(result.columns)]
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
    return "\n".join(lines)[: MAX_SHOWN_CHARS + 200]


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    text = str(value).replace("\n", " ")
    return text if len(text) <= MAX_CELL_CHARS else f"{text[:MAX_CELL_CHARS]}…"


def _comparable(value: Any) -> Any:
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float):
        return float(f"{value:.{DIGITS}g}") if abs(value) < 1e300 else value
    return value
