import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from nemo_gym.testclient import InProcessGym
from resources_servers.example_session_state_mgmt.app import SessionStateResourcesServer

ANSWER = {"id": "resp_0", "object": "response", "created_at": 0, "model": "none", "output": []}


@pytest.fixture
async def gym() -> AsyncIterator[InProcessGym]:
    async with InProcessGym() as gym:
        gym.add("counter", SessionStateResourcesServer)
        yield gym


class Session:
    """A client that keeps its cookies."""

    def __init__(self, gym: InProcessGym) -> None:
        self.gym, self.cookies = gym, dict[str, str]()

    async def post(self, path: str, body: Any = None) -> Any:
        answer = await self.gym.client.post("counter", path, body or {}, cookies=self.cookies)
        self.cookies.update(answer.cookies)
        assert answer.ok, answer.text
        return answer.parse()

    async def verify(self, expected_count: int) -> Any:
        body = {"responses_create_params": {"input": "count"}, "response": ANSWER, "expected_count": expected_count}
        return await self.post("/verify", body)


async def test_two_sessions_count_apart(gym: InProcessGym) -> None:
    first, second = Session(gym), Session(gym)
    await first.post("/seed_session", {"initial_count": 3})
    await second.post("/seed_session", {"initial_count": 100})
    await first.post("/increment_counter", {"count": 1})
    await second.post("/increment_counter", {"count": -5})
    await first.post("/increment_counter", {"count": 2})
    assert await first.post("/get_counter_value") == {"count": 6}
    assert await second.post("/get_counter_value") == {"count": 95}
    assert (await first.verify(6))["reward"] == 1.0
    assert (await second.verify(6))["reward"] == 0.0


async def test_a_session_that_was_never_seeded_or_is_over_is_refused_and_never_scored(gym: InProcessGym) -> None:
    session = Session(gym)
    refused = await gym.client.post("counter", "/increment_counter", {"count": 1})
    assert refused.status == 409 and "/seed_session" in refused.text
    await session.post("/seed_session", {"initial_count": 1})
    await session.verify(1)
    with pytest.raises(AssertionError, match="/seed_session"):
        await session.verify(1)


@pytest.mark.parametrize("count", ["1", 1.5, True, None, [], 10**13, -(10**13)])
async def test_a_count_that_is_no_bounded_integer_changes_nothing(gym: InProcessGym, count: Any) -> None:
    session = Session(gym)
    await session.post("/seed_session", {"initial_count": 7})
    refused = await gym.client.post("counter", "/increment_counter", {"count": count}, cookies=session.cookies)
    assert refused.status == 422 and "count" in refused.text
    assert await session.post("/get_counter_value") == {"count": 7}


async def test_recorded_calls_lead_to_the_recorded_outputs_and_rewards(
    gym: InProcessGym, recorded: Callable[[str], list[dict[str, Any]]]
) -> None:
    rows = {
        row["responses_create_params"]["input"][0]["content"]: row
        for row in recorded("example_session_state_mgmt/example.jsonl")
    }
    for rollout in recorded("example_session_state_mgmt/example_rollouts.jsonl"):
        row = rows[rollout["responses_create_params"]["input"][0]["content"]]
        session = Session(gym)
        await session.post("/seed_session", row)
        items = rollout["response"]["output"]
        outputs = {item["call_id"]: item["output"] for item in items if item["type"] == "function_call_output"}
        for call in (item for item in items if item["type"] == "function_call"):
            told = await session.post(f"/{call['name']}", json.loads(call["arguments"]))
            assert told == json.loads(outputs[call["call_id"]])
        verified = await session.post("/verify", {**row, "response": rollout["response"]})
        assert verified["reward"] == rollout["reward"]
