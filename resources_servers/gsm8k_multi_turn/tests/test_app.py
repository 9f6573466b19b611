import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.testclient import InProcessGym
from resources_servers.gsm8k_multi_turn.app import Gsm8kMultiTurnServer

DATA = Path(__file__).parents[1] / "data"
ROW: dict[str, Any] = {"responses_create_params": {"input": "2 + 2?"}, "expected_answer": "4"}


@pytest.fixture
async def gym() -> AsyncIterator[InProcessGym]:
    async with InProcessGym() as gym:
        gym.add("default", Gsm8kMultiTurnServer)
        gym.add("three_turns", Gsm8kMultiTurnServer, max_turns=3)
        gym.add("strict", Gsm8kMultiTurnServer, strict_skyrl=True)
        yield gym


def saying(*texts: str) -> dict[str, Any]:
    def item(text: str) -> dict[str, Any]:
        return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}

    said: list[dict[str, Any]] = []
    for text in texts:
        said += [item(text), {"type": "message", "role": "user", "content": "Again."}]
    return {"id": "r", "created_at": 0, "model": "m", "output": said[:-1]}


async def num_turns(gym: InProcessGym, server: str, **fields: Any) -> int:
    """Turns until the episode of a row is over, all answers being wrong."""
    session = {"x-session-id": f"{server}-{len(fields)}"}
    row = ROW | fields
    assert (await gym.client.post(server, "/reset", row, headers=session)).status == 200
    for turn in range(1, 20):
        body = row | {"response": saying("#### 5")}
        result = (await gym.client.post(server, "/step", body, headers=session)).parse()
        if result["terminated"] or result["truncated"]:
            return turn
    raise AssertionError("the episode did not end")


async def test_the_turns_are_the_rows_else_those_in_extra_info_else_the_configurations(gym: InProcessGym) -> None:
    assert await num_turns(gym, "default") == 5
    assert await num_turns(gym, "three_turns") == 3
    assert await num_turns(gym, "three_turns", extra_info={"max_turns": 4}) == 4
    assert await num_turns(gym, "three_turns", extra_info={"max_turns": 4}, max_turns=2) == 2


@pytest.mark.parametrize(("server", "reward"), [("default", 1.0), ("strict", 1.04)])
async def test_a_stored_rollout_is_scored_again_from_its_answers(gym: InProcessGym, server: str, reward: float) -> None:
    body = ROW | {"response": saying("#### 5", "#### 4")}
    verified = (await gym.client.post(server, "/verify", body)).parse()
    assert verified["reward"] == pytest.approx(reward)
    assert verified["turn_rewards"] == [0.04, 1.0]
    assert (verified["success"], verified["extracted_answer"]) == (True, "4")


async def test_a_row_that_cannot_be_played_is_refused(gym: InProcessGym) -> None:
    for fields in ({"expected_answer": "many"}, {"max_turns": 0}, {"extra_info": {"max_turns": "few"}}):
        answer = await gym.client.post("default", "/reset", ROW | fields)
        assert answer.status == 422, fields


async def test_the_example_answer_is_well_formed_and_wrong(gym: InProcessGym) -> None:
    body = json.loads((DATA / "example_verify.json").read_text())
    verified = (await gym.client.post("default", "/verify", body)).parse()
    assert (verified["reward"], verified["success"]) == (0.04, False)
