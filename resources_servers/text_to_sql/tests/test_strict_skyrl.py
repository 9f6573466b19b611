"""`strict_skyrl` against skyrl-gym 0.4.0 itself, on real databases: the same rewards, feedback and ends."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.testclient import InProcessGym
from resources_servers.text_to_sql.databases import DATABASES, tables
from resources_servers.text_to_sql.engine import EngineName, build
from resources_servers.text_to_sql.questions import make_question

sql_env = pytest.importorskip("skyrl_gym.envs.sql.env", reason="skyrl-gym is not installed")

FOLDER = Path(__file__).resolve().parent.parent
EPISODES = 200
_DATABASE_FILE = re.compile(r", db file: .*?(?=\n<reminder>)", re.DOTALL)


def action(rng: random.Random, gold: str, name: str) -> str:
    """One of the things that policies say, right and wrong in many ways."""
    other = make_question(name, rng).sql
    table = rng.choice(tables(name, 0)).name
    query = rng.choice(
        (gold, other, f"SELECT * FROM {table} LIMIT 3", f"SELECT id FROM {table}", "SELECT 1 WHERE 0", "SELEC")
    )
    return rng.choice(
        (
            f"<think>a</think><sql>{query}</sql>",
            f"<sql>{query}</sql>",
            f"<think>a</think><solution>{gold}</solution>",
            f"<think>a</think><solution>{query}</solution>",
            f"<solution>{gold}</solution>",
            f"<think>a</think><solution>{gold}",
            f"<think>a</think><solution>{gold}</solution><solution>{gold}</solution>",
            f"<think>a</think><solution><sql>{gold}</sql></solution>",
            f"</observation><think>a</think><solution> {gold} </solution>",
            f"</observation> so <think>a</think><solution>{gold}</solution>",
            "nothing to see",
        )
    )


def lines(feedback: str) -> list[str]:
    """Feedback as comparable lines: there rows come in no order, and an error tells the file's place."""
    return sorted(re.sub(r"\s+", " ", line).strip() for line in _DATABASE_FILE.sub("", feedback).splitlines())


async def test_episodes_go_as_in_the_real_package(tmp_path: Path) -> None:
    for name in DATABASES:
        folder = tmp_path / "spider" / "database" / name
        folder.mkdir(parents=True)
        build(EngineName.SQLITE, folder / f"{name}.sqlite", tables(name, 0))
    actions = 0
    async with InProcessGym() as gym:
        gym.add("text_to_sql", FOLDER, strict_skyrl=True, db_root=str(tmp_path), max_turns=5)
        for number in range(EPISODES):
            rng = random.Random(number)
            name = rng.choice(sorted(DATABASES))
            gold = make_question(name, rng).sql
            fields: dict[str, Any] = {"data": "spider", "db_id": name, "reward_spec": {"ground_truth": gold}}
            fields["max_turns"] = rng.randint(2, 5)
            config = sql_env.Text2SQLEnvConfig(db_path=str(tmp_path))
            reference = sql_env.SQLEnv(config, fields)
            episode = gym.episode("text_to_sql", {"responses_create_params": {"input": "?"}, **fields})
            await episode.reset()
            done = False
            while not done:
                said = action(rng, gold, name)
                expected = reference.step(said)
                step = await episode.step(said)
                done = expected["done"]
                assert (step["reward"], step["terminated"]) == (expected["reward"], done), said
                told = expected["observations"][0]["content"] if expected["observations"] else ""
                assert lines(step["observation"] or "") == lines(told), said
                actions += 1
            assert (await episode.verify())["reward"] == expected["reward"]
    assert actions > 200
