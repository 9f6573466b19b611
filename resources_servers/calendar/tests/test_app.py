import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.testclient import InProcessGym
from resources_servers.calendar.app import CalendarResourcesServer

DATA = Path(__file__).parents[1] / "data"
STRATEGIES = ["final_state", "per_turn", "cumulative", "constraint_based"]


@pytest.fixture
async def gym() -> AsyncIterator[InProcessGym]:
    """One calendar server per strategy, named after it."""
    async with InProcessGym() as gym:
        for strategy in STRATEGIES:
            gym.add(strategy, CalendarResourcesServer, strategy=strategy)
        gym.add("with_history", CalendarResourcesServer, strategy="per_turn", score_history=True)
        yield gym


async def verify(gym: InProcessGym, body: dict[str, Any], server: str = "final_state") -> dict[str, Any]:
    answer = await gym.client.post(server, "/verify", body)
    assert answer.status == 200, answer.text
    verified: dict[str, Any] = answer.parse()
    return verified


async def test_every_recorded_answer_gets_its_recorded_reward(
    gym: InProcessGym, recorded: Callable[[str], list[dict[str, Any]]]
) -> None:
    rows = recorded("calendar/recorded.jsonl")
    assert [row["reward"] for row in rows] == [(await verify(gym, row))["reward"] for row in rows]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_the_example_answer_is_right_with_every_strategy(gym: InProcessGym, strategy: str) -> None:
    body = json.loads((DATA / "example_verify.json").read_text())
    verified = await verify(gym, body, strategy)
    assert verified["reward"] == 1.0
    assert verified["verdict"] == "correct"
    assert verified["mistakes"] == []
    assert sum(verified["reward_components"].values()) == pytest.approx(1.0)


async def test_a_wrong_answer_is_explained_and_the_row_is_echoed(gym: InProcessGym) -> None:
    body = json.loads((DATA / "example_verify.json").read_text())
    body["response"]["output"][-1]["content"][0]["text"] = "[]"
    body["note"] = {"kept": True}
    verified = await verify(gym, body)
    assert verified["reward"] == 0.0
    assert verified["verdict"] == "wrong_events"
    assert verified["mistakes"][0].startswith("missing: event 0")
    assert verified["note"] == {"kept": True}
    assert verified["exp_cal_state"].keys() == body["exp_cal_state"].keys()


async def test_the_last_assistant_message_counts_and_tool_calls_and_reasoning_do_not(gym: InProcessGym) -> None:
    body = json.loads((DATA / "example_verify.json").read_text())
    right = body["response"]["output"][-1]
    wrong = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "One moment."}]}
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "<think> []"}]}
    for output, reward in (([wrong, thought, right], 1.0), ([right, wrong], 0.0), ([thought], 0.0), ([], 0.0)):
        body["response"]["output"] = output
        assert (await verify(gym, body))["reward"] == reward


async def test_history_is_scored_only_where_asked_for(gym: InProcessGym) -> None:
    body = json.loads((DATA / "example_verify.json").read_text())
    turns = [item for item in body["responses_create_params"]["input"] if item["role"] == "assistant"]
    assert len((await verify(gym, body, "per_turn"))["reward_components"]) == 1
    assert len((await verify(gym, body, "with_history"))["reward_components"]) == len(turns) + 1


async def test_a_row_that_cannot_be_scored_is_refused_and_named(gym: InProcessGym) -> None:
    body = json.loads((DATA / "example_verify.json").read_text())
    next(iter(body["exp_cal_state"].values()))["constraint"] = "whenever"
    answer = await gym.client.post("final_state", "/verify", body)
    assert answer.status == 422
    assert "exp_cal_state.0" in answer.text and "whenever" in answer.text
