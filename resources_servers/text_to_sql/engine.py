"""Runs one query on a database file that nothing can change: read-only, with limits on time, memory and rows.

The functions here are called in child processes: a query that will not end takes its process with it, and nothing else.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from resources_servers.text_to_sql.databases import Table

OPCODES_PER_LOOK = 10_000
"""The deadline is looked at after so many steps of SQLite's machine."""
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_FORBIDDEN_FUNCTIONS = {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"}


class EngineName(StrEnum):
    SQLITE = "sqlite"
    DUCKDB = "duckdb"


@dataclass(frozen=True)
class QueryLimits:
    timeout_s: float = 5.0
    max_rows: int = 10_000
    """More rows are not fetched; a result that has more equals no other."""
    memory_bytes: int = 200_000_000
    max_text_bytes: int = 1_000_000
    """Length of one text or blob."""


@dataclass(frozen=True)
class QueryResult:
    """The rows of a query, or why there are none."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    error: str | None = None
    timed_out: bool = False
    cut: bool = False
    """Whether there were more rows than `max_rows`."""

    @property
    def ok(self) -> bool:
        return self.error is None and not self.timed_out


def build(engine: EngineName, path: Path, tables: tuple[Table, ...]) -> None:
    """Write a database file. It appears at `path` when it is complete."""
    draft = path.with_name(path.name + ".draft")
    draft.unlink(missing_ok=True)
    connection: Any
    if engine is EngineName.SQLITE:
        connection = sqlite3.connect(draft)
    else:
        import duckdb

        connection = duckdb.connect(str(draft))
    for table in tables:
        connection.execute(table.create)
        marks = ", ".join("?" * len(table.columns))
        connection.executemany(f"INSERT INTO {table.name} VALUES ({marks})", table.rows)
    if engine is EngineName.SQLITE:
        connection.commit()
    connection.close()
    draft.rename(path)


def run_query(engine: EngineName, path: str, sql: str, limits: QueryLimits) -> QueryResult:
    """The result of one statement. What the query does wrong is part of it; no message holds the file's path."""
    started = time.monotonic()
    run = _run_sqlite if engine is EngineName.SQLITE else _run_duckdb
    try:
        return run(path, sql, limits)
    except MemoryError:
        return QueryResult(error="the query needs more memory than it may have")
    except Exception as error:  # noqa: BLE001  the engines raise many types; all of them are told to the policy
        if time.monotonic() - started >= limits.timeout_s:
            return QueryResult(timed_out=True)
        return QueryResult(error=_told(str(error), path))


def _run_sqlite(path: str, sql: str, limits: QueryLimits) -> QueryResult:
    deadline = time.monotonic() + limits.timeout_s
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True, isolation_level=None)
    try:
        connection.execute(f"PRAGMA hard_heap_limit = {limits.memory_bytes}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.max_text_bytes)
        connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 100_000)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000)
        connection.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200)
        connection.setlimit(sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 50)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        connection.set_authorizer(_authorize)
        connection.set_progress_handler(lambda: time.monotonic() >= deadline, OPCODES_PER_LOOK)
        cursor = connection.execute(sql)
        return _fetched(cursor.fetchmany, cursor.description, limits)
    finally:
        connection.close()


def _run_duckdb(path: str, sql: str, limits: QueryLimits) -> QueryResult:
    import duckdb

    settings = {
        "enable_external_access": "false",
        "memory_limit": f"{limits.memory_bytes // 1_000_000}MB",
        "threads": "1",
        "temp_directory": "",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "lock_configuration": "true",
    }
    connection = duckdb.connect(path, read_only=True, config=settings)
    alarm = threading.Timer(limits.timeout_s, connection.interrupt)
    alarm.start()
    try:
        if len(connection.extract_statements(sql)) != 1:
            return QueryResult(error="one statement is needed, and one only")
        if connection.extract_statements(sql)[0].type != duckdb.StatementType.SELECT:
            return QueryResult(error="only queries are allowed")
        cursor = connection.execute(sql)
        return _fetched(cursor.fetchmany, cursor.description, limits)
    finally:
        alarm.cancel()
        connection.close()


def _fetched(fetchmany: Callable[[int], list[tuple[Any, ...]]], description: Any, limits: QueryLimits) -> QueryResult:
    if description is None:
        return QueryResult(error="the statement returns no rows")
    rows = fetchmany(limits.max_rows + 1)
    columns = tuple(str(column[0]) for column in description)
    return QueryResult(columns, tuple(map(_plain, rows[: limits.max_rows])), cut=len(rows) > limits.max_rows)


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Numbers, text, bytes and None stay; dates, decimals and the like become what they are written as."""
    return tuple(
        value
        if value is None or isinstance(value, int | float | str | bytes)
        else float(value)
        if type(value).__name__ == "Decimal"
        else str(value)
        for value in row
    )


def _authorize(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
    if action not in _ALLOWED:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FORBIDDEN_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _told(message: str, path: str) -> str:
    """The engine's message, shortened, without the place of the file."""
    return message.replace(path, "the database").replace(str(Path(path).parent), "")[:500]
