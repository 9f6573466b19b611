"""When two results are the same."""

from __future__ import annotations

import pytest

from resources_servers.text_to_sql.engine import QueryResult
from resources_servers.text_to_sql.verifier import is_ordered, same_results, shown


def rows(*values: tuple[object, ...]) -> QueryResult:
    return QueryResult(("x",), values)


@pytest.mark.parametrize(
    ("one", "other", "unordered", "ordered"),
    [
        (rows((1,), (2,)), rows((1,), (2,)), True, True),
        (rows((1,), (2,)), rows((2,), (1,)), True, False),
        (rows((1,), (1,)), rows((1,)), False, False),
        (rows((1,)), rows((1.0,)), True, True),
        (rows((0.1 + 0.2,)), rows((0.3,)), True, True),
        (rows((1.0,)), rows((1.001,)), False, False),
        (rows(("1",)), rows((1,)), False, False),
        (rows((None,)), rows((None,)), True, True),
        (rows((None,)), rows((0,)), False, False),
        (rows((1, 2)), rows((2, 1)), False, False),
        (rows(), rows(), True, True),
        (rows((float("inf"),)), rows((float("inf"),)), True, True),
        (rows((10**400,)), rows((10**400,)), True, True),
        (rows((1234567890,)), rows((1234567891,)), False, False),
        (rows((2**53,)), rows((2**53 + 1,)), False, False),
        (rows((0.0,)), rows((1e-17,)), True, True),
        (rows((1234567.125,)), rows((1234567.1250000002,)), True, True),
        (rows((float("nan"),)), rows((float("nan"),)), True, True),
        (rows((0.1 + 0.2, "b"), (0.3, "a")), rows((0.3, "a"), (0.3, "b")), True, False),
        (rows((None, 1.5), ("x", None)), rows(("x", None), (None, 1.5)), True, False),
        (QueryResult(error="no"), QueryResult(error="no"), False, False),
        (QueryResult(timed_out=True), rows(), False, False),
    ],
)
def test_rows_are_compared_as_often_as_they_stand(
    one: QueryResult, other: QueryResult, unordered: bool, ordered: bool
) -> None:
    assert same_results(one, other, ordered=False) is unordered
    assert same_results(one, other, ordered=True) is ordered


@pytest.mark.parametrize(
    ("sql", "ordered"),
    [
        ("SELECT 1 ORDER BY 1", True),
        ("select a from t order  by a", True),
        ("SELECT a FROM (SELECT a FROM t ORDER BY a)", False),
        ("SELECT ' ORDER BY ' FROM t", False),
        ("SELECT 1 -- ORDER BY x", False),
        ("SELECT RANK() OVER (ORDER BY a) FROM t", False),
        ("SELECT RANK() OVER (ORDER BY a) FROM t ORDER BY 1", True),
    ],
)
def test_only_an_order_of_the_whole_query_counts(sql: str, ordered: bool) -> None:
    assert is_ordered(sql) is ordered


def test_what_is_shown_is_bounded_and_says_what_is_left_out() -> None:
    assert shown(rows()) == "x\n(no rows)"
    assert shown(rows((None,), (b"ab",), ("a\nb",))) == "x\nNULL\n<2 bytes>\na b"
    assert shown(rows(*((n,) for n in range(70)))).endswith("\n49\n(70 rows, 50 shown)")
    assert len(shown(rows(*(("y" * 10_000,) for _ in range(70))))) < 5_000
    assert shown(QueryResult(error="bad")) == "Error: bad"
    assert "too long" in shown(QueryResult(timed_out=True))
