"""The running total: what counts as a total, what each turn earns, and whole episodes through the agent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.environments.users import ScriptedTurn, ScriptedUser
from nemo_gym.prepare import make_rows
from nemo_gym.schemas.responses import Response
from nemo_gym.testclient import InProcessGym
from resources_servers.example_multi_turn.environment import RunningTotal, total_in
from resources_servers.example_multi_turn.prepare import make_row

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "resources_servers" / "example_multi_turn"


@pytest.mark.parametrize(
    ("said", "total"),
    [
        ("Total: 7", 7),
        ("TOTAL:-3.", -3),
        ("Total: 7, no, total: 8", 8),
        ("7", None),
        ("Total: 7.5", None),
        ("Total: 7,000", None),
        ("Total: " + "9" * 10, None),
        ("total:" * 50_000, None),
        ("", None),
    ],
)
def test_the_last_total_of_a_message_counts(said: str, total: int | None) -> None:
    assert total_in(said) == total


def saying(text: str) -> Response:
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return Response.model_validate({"id": "r", "created_at": 0, "model": "m", "output": [item]})


async def play(*said: str, max_turns: int = 3) -> list[tuple[Any, float, bool, bool]]:
    user = ScriptedUser([ScriptedTurn.model_validate({"say": "b", "when_contains": "total:", "else": "c"}), "d"])
    environment = RunningTotal(user, [4, 7, 5], max_turns)
    results = [await environment.step(saying(text)) for text in said]
    return [(one.observation, one.reward, one.terminated, one.truncated) for one in results]


async def test_each_right_total_earns_and_the_last_one_most() -> None:
    expected = [("b", 0.25, False, False), ("d", 0.25, False, False), (None, 0.5, True, False)]
    assert await play("Total: 4", "Total: 7", "Total: 5") == expected
    assert [reward for _, reward, _, _ in await play("4", "Total: 7", "Total: 7")] == [0.0, 0.25, 0.0]


async def test_the_user_answers_another_form_otherwise() -> None:
    assert (await play("It is 4."))[0][0] == "c"


async def test_max_turns_truncates() -> None:
    assert (await play("Total: 4", "Total: 7", max_turns=2))[-1] == (None, 0.25, False, True)


async def test_an_episode_through_the_agent_keeps_each_turns_reward() -> None:
    row = json.loads((FOLDER / "data" / "example.jsonl").read_text(encoding="utf-8").splitlines()[0])
    async with InProcessGym() as gym:
        gym.add("env", FOLDER)
        gym.add("policy_model", ROOT / "responses_api_models" / "scripted_model", policy="oracle")
        gym.add(
            "agent",
            ROOT / "responses_api_agents" / "simple_agent",
            resources_server={"name": "env"},
            model_server={"name": "policy_model"},
        )
        result = (await gym.client.post("agent", "/run", row)).parse()
    assert (result["mode"], result["stop_reason"], result["right_totals"]) == ("multi_turn", "terminated", 3)
    assert [turn["reward"] for turn in result["turns"]] == [0.25, 0.25, 0.5]
    said = [item["content"] for item in result["response"]["output"] if item.get("role") == "user"]
    assert said == [row["user_turns"][0]["say"], row["user_turns"][1]]


@pytest.mark.parametrize("wrong", [{"totals": []}, {"totals": [1, 2]}, {"user_turns": [{"else": "x"}, "y"]}])
async def test_a_row_whose_script_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    row = json.loads((FOLDER / "data" / "example.jsonl").read_text(encoding="utf-8").splitlines()[0])
    async with InProcessGym() as gym:
        gym.add("env", FOLDER)
        assert (await gym.client.post("env", "/reset", {**row, **wrong})).status == 422


def test_rows_are_distinct_and_add_up() -> None:
    rows = list(make_rows(make_row, num_rows=200, seed=3))
    assert len({json.dumps(row["responses_create_params"]) for row in rows}) == 200
    for row in rows:
        one, two, end = row["totals"]
        assert one >= 1 and two > one and end >= one
