"""Episodes on real databases: turns, rewards, rows of the public set, two hundred at once."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.errors import BadStatus, ConfigError, DataError
from nemo_gym.testclient import InProcessGym
from resources_servers.text_to_sql.databases import tables
from resources_servers.text_to_sql.prepare import convert, make_row

FOLDER = Path(__file__).resolve().parent.parent
SHOP = {
    "responses_create_params": {"input": "How many products?"},
    "database": {"name": "shop", "seed": 0},
    "gold_sql": "SELECT COUNT(*) FROM products",
}


async def test_queries_are_answered_until_a_solution_is_given() -> None:
    async with InProcessGym() as gym:
        gym.add("text_to_sql", FOLDER, query_reward=0.3)
        episode = gym.episode("text_to_sql", {**SHOP, "max_turns": 3})
        await episode.reset()
        first = await episode.step("<think>Hm.</think><sql>SELECT name FROM products ORDER BY id LIMIT 2</sql>")
        assert first["observation"] == "<observation>\nname\nlamp\nchair\n</observation>\nYou have 2 turns left."
        assert (first["reward"], first["info"]["query_ok"]) == (pytest.approx(0.1), True)
        wrong = await episode.step("<sql>SELECT absent FROM products</sql>")
        assert wrong["reward"] == 0.0 and "no such column: absent" in wrong["observation"]
        assert "last turn" in wrong["observation"]
        last = await episode.step("<solution>SELECT 12</solution>")
        assert (last["reward"], last["terminated"]) == (1.0, True)
        verified = await episode.verify()
        assert (verified["success"], verified["num_queries"]) == (True, 2)


async def test_turns_run_out_and_form_is_told() -> None:
    async with InProcessGym() as gym:
        gym.add("text_to_sql", FOLDER)
        episode = gym.episode("text_to_sql", {**SHOP, "max_turns": 2})
        await episode.reset()
        assert "neither <sql>" in (await episode.step("SELECT 12"))["observation"]
        last = await episode.step("<sql>SELECT 12</sql>")
        assert (last["reward"], last["truncated"], last["terminated"]) == (0.0, True, False)


@pytest.mark.parametrize("engine", ["sqlite", "duckdb"])
async def test_a_query_without_end_holds_nobody_up(engine: str) -> None:
    if engine == "duckdb":
        pytest.importorskip("duckdb", reason="the extra nemo-gym[sql] is not installed")
    endless = "<sql>WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n</sql>"
    async with InProcessGym() as gym:
        gym.add("text_to_sql", FOLDER, engine=engine, query_timeout_s=3.0, cpu_workers=3)
        slow, quick = gym.episode("text_to_sql", SHOP), gym.episode("text_to_sql", SHOP)
        await slow.reset()
        await quick.reset()
        count = "<sql>SELECT COUNT(*) FROM products</sql>"
        await asyncio.gather(*(quick.step(count) for _ in range(3)))  # the processes are there
        waiting = asyncio.ensure_future(slow.step(endless))
        for _ in range(2):
            await quick.step(count)
        assert not waiting.done()
        assert "took too long" in (await waiting)["observation"]


async def test_two_hundred_sessions_mix_nothing_up() -> None:
    async with InProcessGym() as gym:
        gym.add("text_to_sql", FOLDER)

        async def play(number: int) -> None:
            row = make_row(random.Random(number), number)
            episode = gym.episode("text_to_sql", row)
            await episode.reset()
            name, seed = row["database"]["name"], row["database"]["seed"]
            table = {"shop": "customers", "library": "books", "flights": "flights", "clinic": "patients"}[name]
            seen = await episode.step(f"<sql>SELECT COUNT(*) AS n FROM {table}</sql>")
            [expected] = [len(one.rows) for one in tables(name, seed) if one.name == table]
            assert seen["observation"].startswith(f"<observation>\nn\n{expected}\n")
            assert (await episode.step(f"<solution>{row['gold_sql']}</solution>"))["reward"] == 1.0
            assert (await episode.verify())["reward"] == 1.0

        await asyncio.gather(*(play(number) for number in range(200)))


async def test_a_rows_own_query_that_fails_is_a_failure_and_no_reward() -> None:
    async with InProcessGym() as gym:
        gym.add("text_to_sql", FOLDER)
        episode = gym.episode("text_to_sql", {**SHOP, "gold_sql": "SELECT absent"})
        await episode.reset()
        with pytest.raises(BadStatus) as raised:
            await episode.step("<solution>SELECT 12</solution>")
        assert raised.value.status == 500 and b"the row's own query fails" in raised.value.body


async def test_a_rows_own_result_that_is_too_large_is_a_failure_too() -> None:
    huge = "SELECT a.order_id FROM order_items a, order_items b"
    async with InProcessGym() as gym:
        gym.add("text_to_sql", FOLDER)
        episode = gym.episode("text_to_sql", {**SHOP, "gold_sql": huge})
        await episode.reset()
        with pytest.raises(BadStatus, match="too large"):
            await episode.step(f"<solution>{huge}</solution>")


async def test_a_solution_that_is_only_thought_of_is_none() -> None:
    async with InProcessGym() as gym:
        gym.add("text_to_sql", FOLDER)
        episode = gym.episode("text_to_sql", SHOP)
        await episode.reset()
        thought = await episode.step("<think>Maybe <solution>SELECT 12</solution>?</think><sql>SELECT 7 AS x</sql>")
        assert not thought["terminated"] and "\n7\n" in thought["observation"]


def public_database(root: Path) -> None:
    folder = root / "spider" / "database" / "pets_1"
    folder.mkdir(parents=True)
    connection = sqlite3.connect(folder / "pets_1.sqlite")
    connection.execute("CREATE TABLE pets (name TEXT)")
    connection.execute("INSERT INTO pets VALUES ('Rex')")
    connection.commit()
    connection.close()


async def test_rows_of_the_public_set_use_the_users_databases(tmp_path: Path) -> None:
    public_database(tmp_path)
    record = {
        "prompt": [{"role": "user", "content": "Which pets?"}],
        "data": "spider",
        "db_id": "pets_1",
        "reward_spec": {"method": "rule", "ground_truth": "SELECT name FROM pets"},
    }
    (tmp_path / "rows.jsonl").write_text(json.dumps(record) + "\n")
    [row] = convert(tmp_path / "rows.jsonl")
    async with InProcessGym() as gym:
        gym.add("text_to_sql", FOLDER, db_root=str(tmp_path))
        gym.add("without", FOLDER)
        episode = gym.episode("text_to_sql", row)
        await episode.reset()
        assert (await episode.step("<solution>SELECT 'Rex'</solution>"))["reward"] == 1.0
        for server, changed, complaint in (
            ("without", {}, "set `db_root`"),
            ("text_to_sql", {"db_id": "pets_2"}, "no database `pets_2`"),
            ("text_to_sql", {"db_id": "../../etc"}, "db_id"),
            ("text_to_sql", {"data": "other"}, "known are synsql, spider, bird"),
            ("text_to_sql", {"reward_spec": {}}, "gold_sql"),
        ):
            with pytest.raises(BadStatus) as raised:
                await gym.episode(server, {**row, **changed}).reset()
            assert raised.value.status == 422 and complaint in raised.value.body.decode()
            assert str(tmp_path) not in raised.value.body.decode()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ('{"prompt": []}', "a row needs"),
        ('{"data": "bird", "db_id": "x", "gold_sql": "y", "prompt": "z"}', "list of chat messages"),
        ('{"database": {"name": "shop", "seed": 1}, "gold_sql": "y", "prompt": [{}]}', "needs `data` and `db_id`"),
    ],
)
def test_a_line_that_cannot_be_converted_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    good = '{"data": "bird", "db_id": "x", "gold_sql": "y", "prompt": [{"role": "user", "content": "?"}]}'
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{good}\n{line}\n")
    with pytest.raises(DataError, match=r"rows\.jsonl:2: ") as raised:
        list(convert(path))
    assert complaint in str(raised.value)


def test_a_package_that_is_missing_is_a_mistake_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for settings, complaint in (({"engine": "duckdb"}, "nemo-gym\\[sql\\]"), ({"strict_skyrl": True}, "pandas")):
        with pytest.raises(ConfigError, match=complaint):
            InProcessGym().add("text_to_sql", FOLDER, **settings)


async def test_made_databases_are_deleted_with_the_server() -> None:
    async with InProcessGym() as gym:
        server: Any = gym.add("text_to_sql", FOLDER)
        await gym.episode("text_to_sql", SHOP).reset()
        folder = server._library._folder
        assert len(list(folder.iterdir())) == 1
    assert not folder.exists()
