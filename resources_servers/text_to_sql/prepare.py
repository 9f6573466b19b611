"""Writes questions to databases: made ones, or those of the public SkyRL-SQL set.

python resources_servers/text_to_sql/prepare.py --num-rows 100 --seed 0 --output train.jsonl
python resources_servers/text_to_sql/prepare.py --input SkyRL-SQL-653-data-newfmt/train.parquet --output sql.jsonl
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nemo_gym.errors import DataError
from nemo_gym.prepare import TaskRow, run_prepare
from nemo_gym.schemas.validation import explain
from resources_servers.text_to_sql.databases import DATABASES, schema_text, tables
from resources_servers.text_to_sql.questions import make_question
from resources_servers.text_to_sql.task import SqlTask

EXAMPLE = Path(__file__).parent / "data" / "example.jsonl"
NUM_DATABASES = 50
"""Seeds of the made databases, for each of the four kinds."""

RULES = """\
Answer the question by one SQL query (SQLite). Think first, inside <think>…</think>. Then either try a query, as
<sql>…</sql>: its result comes back inside <observation>…</observation>. Or give the query that answers the question, as
<solution>…</solution>: that ends the task. You have 6 turns."""


def make_row(rng: random.Random, index: int) -> TaskRow:
    while True:
        name, seed = rng.choice(sorted(DATABASES)), rng.randrange(NUM_DATABASES)
        question = make_question(name, rng)
        if has_rows(name, seed, question.sql):
            break
    text = f"{RULES}\n\nThe database `{name}` number {seed}:\n{schema_text(name, seed)}\n\nQuestion: {question.text}"
    return {
        "id": f"sql-{index}",
        "responses_create_params": {"input": [{"role": "user", "content": text}]},
        "database": {"name": name, "seed": seed},
        "gold_sql": question.sql,
        "level": question.level,
    }


def has_rows(name: str, seed: int, sql: str) -> bool:
    """Whether the query gives any: without, an empty result would be right."""
    connection = sqlite3.connect(":memory:")
    for table in tables(name, seed):
        connection.execute(table.create)
        connection.executemany(f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(table.columns))})", table.rows)
    rows = connection.execute(sql).fetchall()
    connection.close()
    return bool(rows) and any(value is not None for row in rows for value in row)


def convert(path: Path) -> Iterator[TaskRow]:
    """Rows of SkyRL's form: `prompt` (chat messages), `data`, `db_id`, `reward_spec.ground_truth`, in jsonl or parquet.
    Raises `DataError` naming the line.
    """
    for number, record in _records(path):
        try:
            task = SqlTask.model_validate(record)
        except ValidationError as error:
            raise DataError(str(path), number, "; ".join(explain(error)[:3])) from error
        prompt = record.get("prompt")
        if task.db_id is None or task.data is None:
            raise DataError(str(path), number, "needs `data` and `db_id`, which name the database")
        if not isinstance(prompt, list) or not prompt or not all(isinstance(said, dict) for said in prompt):
            raise DataError(str(path), number, "`prompt` must be a list of chat messages")
        kept = {key: value for key, value in record.items() if key != "prompt"}
        yield {"responses_create_params": {"input": prompt}, **kept}


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered from 1."""
    if path.suffix == ".parquet":
        try:
            from pyarrow import parquet
        except ImportError:
            raise DataError(str(path), None, "reading parquet needs the package pyarrow: pip install pyarrow") from None
        yield from enumerate(parquet.read_table(path).to_pylist(), start=1)
        return
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line)
            except ValueError as error:
                raise DataError(str(path), number, f"no JSON: {error}") from error
            if not isinstance(record, dict):
                raise DataError(str(path), number, "no JSON object")
            yield number, record


if __name__ == "__main__":
    print(run_prepare(make_row, EXAMPLE, convert=convert))
