"""Reference policies for text_to_sql: `oracle`, `explorer`, `random`, `malformed`."""

from __future__ import annotations

import re
from typing import Any

from nemo_gym.reference_policies import PolicyTurn, function_call, reasoning
from resources_servers.text_to_sql.questions import make_question
from resources_servers.text_to_sql.task import SqlTask

GARBAGE = (
    "",
    "SELECT 1",
    "<sql>DROP TABLE orders</sql>",
    "<sql>ATTACH 'x.db' AS x</sql>",
    "<sql>PRAGMA writable_schema = 1</sql>",
    "<sql>SELECT</sql>",
    "<sql>SELECT 1; SELECT 2</sql>",
    "<solution>",
    "<solution></solution>",
    "<solution>SELECT load_extension('x')</solution>",
    "<sql>" + "(" * 2_000 + "</sql>",
    "<solution>SELECT '" + "x" * 20_000 + "'</solution>",
    "<sql>SELECT '\u0000'</sql>",
    "<think>" * 2_000,
)
_TABLE = re.compile(r"CREATE TABLE (\w+)")


def oracle(turn: PolicyTurn) -> str:
    """The row's own query."""
    return f"<think>I know that one.</think>\n<solution>{_task(turn).expected_sql}</solution>"


def explorer(turn: PolicyTurn) -> str:
    """Looks at a table, tries the query, then gives it."""
    if turn.step == 0:
        return f"<think>What is in there?</think>\n<sql>SELECT * FROM {_tables(turn)[0]} LIMIT 3</sql>"
    if turn.step == 1:
        return f"<think>Let me try.</think>\n<sql>{_task(turn).expected_sql}</sql>"
    return oracle(turn)


def guess(turn: PolicyTurn) -> str:
    """The row's own query one time in four, else that of any question to such a database."""
    task = _task(turn)
    knows = task.database is None or turn.rng.random() < 0.25
    sql = task.expected_sql if knows or task.database is None else make_question(task.database.name, turn.rng).sql
    return f"<think>Perhaps.</think>\n<solution>{sql}</solution>"


def malformed(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Garbage text, forbidden statements, tools that do not exist, reasoning only."""
    calls = [function_call("sql", {"query": "SELECT 1"})], [function_call("verify", {})]
    return turn.rng.choice((*GARBAGE, *calls, [reasoning("Hm.")]))


def _task(turn: PolicyTurn) -> SqlTask:
    return SqlTask.model_validate(turn.row)


def _tables(turn: PolicyTurn) -> list[str]:
    return _TABLE.findall(str(turn.input[0]["content"])) or ["sqlite_master"]


POLICIES = {"oracle": oracle, "explorer": explorer, "random": guess, "malformed": malformed}
