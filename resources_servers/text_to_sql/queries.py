"""What is done with queries, each in a child process: show a result, compare two, say both as skyrl-gym does.

Results stay where they were made: what comes back is text and a verdict.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from resources_servers.text_to_sql.engine import EngineName, QueryLimits, QueryResult, run_query
from resources_servers.text_to_sql.verifier import is_ordered, same_results, shown

LONGEST_TABLE = 9_000
SHOWN_ROWS = 50


@dataclass(frozen=True)
class Answer:
    """What the policy is told of a query."""

    text: str
    ok: bool
    num_rows: int = 0


@dataclass(frozen=True)
class Verdict:
    """Whether a solution's rows are the right ones; `gold_problem` where that cannot be said."""

    correct: bool = False
    gold_problem: str | None = None


def answer(engine: EngineName, path: str, sql: str, limits: QueryLimits, strict: bool) -> Answer:
    """A query's result as text; `strict`: as skyrl-gym 0.4.0 writes it."""
    result = run_query(engine, path, sql, replace(limits, lenient_text=not strict))
    return Answer(strict_text(result, sql) if strict else shown(result), result.ok, len(result.rows))


def judge(engine: EngineName, path: str, sql: str, gold_sql: str, limits: QueryLimits, strict: bool) -> Verdict:
    """Whether both queries give the same rows; `strict`: the same set of rows."""
    limits = replace(limits, lenient_text=not strict)
    gold = run_query(engine, path, gold_sql, limits)
    if not gold.ok or gold.cut:
        problem = gold.error or ("it takes too long" if gold.timed_out else "its result is too large")
        return Verdict(gold_problem=problem)
    found = run_query(engine, path, sql, limits)
    if strict:
        return Verdict(found.ok and not found.cut and frozenset(found.rows) == frozenset(gold.rows))
    return Verdict(same_results(found, gold, ordered=is_ordered(gold_sql)))


def strict_text(result: QueryResult, sql: str) -> str:
    """The result as pandas writes a table: without names of columns, without duplicates. Here the rows stand as they
    came first, there in no order.
    """
    import pandas

    if result.timed_out:
        return f"SQL Timeout:\n{sql}"
    if result.error is not None:
        # There the file's place follows.
        return f"Error executing SQL: {result.error}"
    table = pandas.DataFrame(list(dict.fromkeys(result.rows)))
    text = table.to_string(index=False)
    if len(text) > LONGEST_TABLE:
        shown_rows = table.head(SHOWN_ROWS).to_string(index=False)
        text = f"Truncated to {SHOWN_ROWS} lines since returned response too long: {shown_rows}"
    return text
