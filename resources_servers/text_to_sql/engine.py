"""Runs one query on a database file that nothing can change: read-only, with limits on time, memory and rows.

The functions here are called in child processes: a query that will not end takes its process with it, and nothing else.
"""

from __future__ import annotations

import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from resources_servers.text_to_sql.databases import Table

OPCODES_PER_LOOK = 10_000
"""The deadline is looked at after so many steps of SQLite's machine."""
FETCHED_ROWS = 100
"""Rows taken from the engine at a time, so that a huge result is noticed before it is all there."""
HEADROOM_BYTES = 100_000_000
"""Beside the engine's own limit: for rows as Python holds them."""
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
    result_bytes: int = 20_000_000
    """All values of a result together."""
    lenient_text: bool = True
    """Whether bytes that are no UTF-8 become U+FFFD; else they are an error."""


@dataclass(frozen=True)
class QueryResult:
    """The rows of a query, or why there are none."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    error: str | None = None
    timed_out: bool = False
    cut: bool = False
    """Whether there were more rows than `max_rows`, or more bytes than `result_bytes`."""

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
        with _memory_bounded(limits.memory_bytes):
            return run(path, sql, limits)
    except MemoryError:
        return QueryResult(error="the query needs more memory than it may have")
    except Exception as error:  # noqa: BLE001  the engines raise many types; all of them are told to the policy
        if time.monotonic() - started >= limits.timeout_s:
            return QueryResult(timed_out=True)
        return QueryResult(error=_without_places(str(error).partition("\n")[0], path)[:500])


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
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        if limits.lenient_text:
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
        connection.set_authorizer(_authorize)
        connection.set_progress_handler(lambda: time.monotonic() >= deadline, OPCODES_PER_LOOK)
        cursor = connection.execute(sql)
        return _fetched(cursor.fetchmany, cursor.description, path, limits)
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
        return _fetched(cursor.fetchmany, cursor.description, path, limits)
    finally:
        alarm.cancel()
        connection.close()


def _fetched(
    fetchmany: Callable[[int], list[tuple[Any, ...]]], description: Any, path: str, limits: QueryLimits
) -> QueryResult:
    if description is None:
        return QueryResult(error="the statement returns no rows")
    columns = tuple(str(column[0]) for column in description)
    rows: list[tuple[Any, ...]] = []
    size = 0
    while batch := fetchmany(FETCHED_ROWS):
        for row in batch:
            plain = tuple(_plain(value, path) for value in row)
            size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in plain)
            if len(rows) == limits.max_rows or size > limits.result_bytes:
                return QueryResult(columns, tuple(rows), cut=True)
            rows.append(plain)
    return QueryResult(columns, tuple(rows))


def _plain(value: Any, path: str) -> Any:
    """Numbers, bytes and None stay; dates and the like become what they are written as; no text tells a place."""
    if value is None or isinstance(value, int | float | bytes):
        return value
    if isinstance(value, Decimal):
        return float(value)
    return _without_places(str(value), path)


@contextmanager
def _memory_bounded(memory_bytes: int) -> Iterator[None]:
    """So much more memory than this process has now, and no more, whoever of it asks for it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    status = Path("/proc/self/status")
    if not status.exists():  # no Linux: the engines' own limits remain
        yield
        return
    [used_kb] = [int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmData:")]
    limit = 1024 * used_kb + memory_bytes + HEADROOM_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _authorize(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
    if action not in _ALLOWED:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FORBIDDEN_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _without_places(text: str, path: str) -> str:
    """The text without where files lie on this machine."""
    for place in (path, str(Path(path).parent), str(Path.home())):
        text = text.replace(place, "…")
    return text
