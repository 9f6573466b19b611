"""Queries on real files: what they may see, and what hostile ones come to, in both engines."""

from __future__ import annotations

import resource
import sqlite3
from pathlib import Path

import pytest

from resources_servers.text_to_sql.databases import DATABASES, tables
from resources_servers.text_to_sql.engine import EngineName, QueryLimits, QueryResult, build, run_query
from resources_servers.text_to_sql.questions import TEMPLATES
from resources_servers.text_to_sql.verifier import is_ordered, same_results, shown

LIMITS = QueryLimits(timeout_s=0.5, max_rows=100, memory_bytes=60_000_000)
ENGINES = list(EngineName)


@pytest.fixture(scope="module", params=ENGINES, ids=str)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[EngineName, Path]:
    if request.param is EngineName.DUCKDB:
        pytest.importorskip("duckdb", reason="the extra nemo-gym[sql] is not installed")
    path = tmp_path_factory.mktemp("databases") / f"shop.{request.param}"
    build(request.param, path, tables("shop", 0))
    return request.param, path


def ask(shop: tuple[EngineName, Path], sql: str) -> QueryResult:
    engine, path = shop
    return run_query(engine, str(path), sql, LIMITS)


def test_a_query_gives_columns_and_rows_in_order(shop: tuple[EngineName, Path]) -> None:
    result = ask(shop, "SELECT id, name AS what FROM products WHERE id < 3 ORDER BY id DESC")
    assert (result.columns, result.rows) == (("id", "what"), ((2, "chair"), (1, "lamp")))
    assert shown(result) == "id | what\n2 | chair\n1 | lamp"


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE orders",
        "DELETE FROM orders",
        "INSERT INTO orders VALUES (999, 1, 'x')",
        "UPDATE products SET price = 0",
        "CREATE TABLE planted (x INTEGER)",
        "CREATE TEMP TABLE planted (x INTEGER)",
        "ATTACH '{folder}/planted.db' AS planted",
        "VACUUM INTO '{folder}/planted.db'",
        "PRAGMA writable_schema = 1",
        "PRAGMA hard_heap_limit = 0",
        "COPY products TO '{folder}/planted.csv'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT readfile('/etc/passwd')",
        "SELECT load_extension('/tmp/x.so')",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
        "SELECT 1; SELECT 2",
        "SELECT nothing FROM nowhere",
        "",
        "SELECT '\u0000",
        "BEGIN",
        "(" * 5_000,
        "SELECT " + "-" * 60_000 + "1",
    ],
)
def test_what_is_no_plain_query_is_refused_and_changes_nothing(shop: tuple[EngineName, Path], sql: str) -> None:
    before = shop[1].read_bytes()
    result = ask(shop, sql.replace("{folder}", str(shop[1].parent)))
    assert not result.ok and result.rows == ()
    assert str(shop[1].parent) not in (result.error or "").replace("planted", "") or "planted" in sql
    assert shop[1].read_bytes() == before
    assert [file.name for file in shop[1].parent.iterdir()] == [shop[1].name]


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n",
        "SELECT COUNT(*) FROM order_items a, order_items b, order_items c, order_items d, order_items e",
        "WITH RECURSIVE n(x) AS (SELECT 'a' UNION ALL SELECT x || x FROM n) SELECT MAX(LENGTH(x)) FROM n",
        "SELECT GROUP_CONCAT(a.ordered_on) FROM orders a, orders b, orders c, orders d, orders e",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n ORDER BY x DESC",
    ],
)
def test_a_query_without_end_is_ended(shop: tuple[EngineName, Path], sql: str) -> None:
    assert not ask(shop, sql).ok


@pytest.mark.parametrize(
    "sql",
    ["SELECT zeroblob(2000000000)", "SELECT printf('%.50000000c', 'x')", "SELECT hex(randomblob(900000000))"],
)
def test_one_huge_value_is_refused(tmp_path: Path, sql: str) -> None:
    path = tmp_path / "shop.sqlite"
    build(EngineName.SQLITE, path, tables("shop", 0))
    result = run_query(EngineName.SQLITE, str(path), sql, LIMITS)
    assert not result.ok or len(str(result.rows[0][0])) < 2_000_000


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT zeroblob(900000) FROM orders a, orders b",
        "SELECT hex(zeroblob(60000)) FROM orders a, orders b, orders c",
        "SELECT repeat('x', 2000000000)",
    ],
)
def test_a_large_result_is_not_held(shop: tuple[EngineName, Path], sql: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = ask(shop, sql)
    assert not result.ok or result.cut
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000, "kilobytes"


def test_no_cell_tells_where_files_lie(tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="the extra nemo-gym[sql] is not installed")
    path = tmp_path / "shop.duckdb"
    build(EngineName.DUCKDB, path, tables("shop", 0))
    for sql in (
        "SELECT path FROM duckdb_databases()",
        "SELECT file FROM pragma_database_list",
        "SELECT name, value FROM duckdb_settings()",
        "SELECT * FROM duckdb_extensions()",
    ):
        text = shown(run_query(EngineName.DUCKDB, str(path), sql, QueryLimits()))
        assert str(tmp_path) not in text and str(Path.home()) not in text


def test_more_rows_than_allowed_are_cut_and_equal_nothing(shop: tuple[EngineName, Path]) -> None:
    result = ask(shop, "SELECT a.id FROM orders a, orders b")
    assert result.cut and len(result.rows) == 100
    assert not same_results(result, result, ordered=False)
    assert shown(result).endswith("(more than 100 rows, 50 shown)")


def test_every_question_has_an_answer_in_both_engines(tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="the extra nemo-gym[sql] is not installed")
    import random

    for name in DATABASES:
        paths = {engine: tmp_path / f"{name}.{engine}" for engine in ENGINES}
        for engine, path in paths.items():
            build(engine, path, tables(name, 1))
        for template in TEMPLATES[name]:
            question = template(random.Random(1))
            results = [run_query(engine, str(path), question.sql, QueryLimits()) for engine, path in paths.items()]
            assert results[0].ok, (question, results[0])
            assert same_results(*results, ordered=is_ordered(question.sql)), (question, results)


def test_the_same_seed_makes_the_same_database(tmp_path: Path) -> None:
    for name in DATABASES:
        assert tables(name, 3) == tables(name, 3) != tables(name, 4)
        path = tmp_path / f"{name}.sqlite"
        build(EngineName.SQLITE, path, tables(name, 3))
        for table in tables(name, 3):
            assert tuple(sqlite3.connect(path).execute(f"SELECT * FROM {table.name}")) == table.rows
