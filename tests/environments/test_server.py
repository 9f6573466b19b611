"""EnvironmentServer: /reset, /step, /verify and /close over one environment per session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import Field

from nemo_gym.environments import Environment, EnvironmentServer, StepResult
from nemo_gym.environments.replay import model_calls
from nemo_gym.schemas.episode import BaseRunRequest
from nemo_gym.schemas.responses import Response
from nemo_gym.testclient import InProcessGym
from tests.rows import call, message, response_of

ROW = {"responses_create_params": {"input": "Count to 3."}, "goal": 3}


class CountingRow(BaseRunRequest):
    goal: int = Field(ge=1)


class Counting(Environment):
    closed = 0

    def __init__(self, goal: int, max_turns: int) -> None:
        self.goal, self.max_turns, self.count, self.turn = goal, max_turns, 0, 0

    async def reset(self) -> str:
        return f"Count to {self.goal}, one number a turn."

    async def step(self, response: Response) -> StepResult:
        self.turn += 1
        if response.output_text == "crash":
            raise RuntimeError("the counter fell down")
        if response.output_text == "wait":
            await asyncio.sleep(60)
        if response.output_text != str(self.count + 1):
            return StepResult("Wrong.", -0.5, truncated=self.turn >= self.max_turns)
        self.count += 1
        return StepResult(f"{self.count}!", 1.0, terminated=self.count == self.goal, info={"count": self.count})

    def report(self) -> dict[str, Any]:
        return {"counted": self.count}

    async def close(self) -> None:
        Counting.closed += 1


class CountingServer(EnvironmentServer):
    async def make_environment(self, row: CountingRow) -> Counting:
        return Counting(row.goal, self.max_turns(row, 10))


@pytest.fixture
async def gym() -> AsyncIterator[InProcessGym]:
    Counting.closed = 0
    async with InProcessGym() as gym:
        gym.add("counting", CountingServer, max_turns=4)
        yield gym


class Client:
    """One session."""

    def __init__(self, gym: InProcessGym, session: str) -> None:
        self.gym, self.headers = gym, {"x-session-id": session}

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answer = await self.gym.client.post("counting", path, body, headers=self.headers)
        return answer.status, answer.parse()

    async def step(self, text: str) -> tuple[int, dict[str, Any]]:
        return await self.post("/step", {**ROW, "response": response_of(message(text))})


async def test_an_episode_goes_from_reset_through_steps_to_verify(gym: InProcessGym) -> None:
    client = Client(gym, "a")
    assert await client.post("/reset", ROW) == (200, {"observation": "Count to 3, one number a turn.", "info": {}})
    status, first = await client.step("1")
    assert (status, first["observation"], first["reward"], first["terminated"]) == (200, "1!", 1.0, False)
    assert first["info"] == {"count": 1}
    assert (await client.step("5"))[1]["reward"] == -0.5
    await client.step("2")
    assert (await client.step("3"))[1]["terminated"] is True
    status, verified = await client.post("/verify", {**ROW, "response": response_of(message("3"))})
    assert (status, verified["reward"], verified["turn_rewards"]) == (200, 2.5, [1.0, -0.5, 1.0, 1.0])
    assert (verified["counted"], verified["num_turns"], verified["goal"]) == (3, 4, 3)
    assert Counting.closed == 1


async def test_a_step_before_reset_or_after_the_end_is_refused_with_409(gym: InProcessGym) -> None:
    client = Client(gym, "a")
    status, body = await client.step("1")
    assert status == 409 and "POST /reset" in body["error"]["message"]
    await client.post("/reset", {**ROW, "goal": 1})
    await client.step("1")
    status, body = await client.step("2")
    assert status == 409 and "over" in body["error"]["message"]


async def test_an_episode_whose_step_failed_cannot_go_on(gym: InProcessGym) -> None:
    client = Client(gym, "a")
    await client.post("/reset", ROW)
    status, body = await client.step("crash")
    assert status == 500 and "fell down" in body["error"]["message"]
    status, body = await client.step("1")
    assert status == 409 and "failed" in body["error"]["message"]


async def test_a_row_that_does_not_fit_is_refused_with_its_place(gym: InProcessGym) -> None:
    client = Client(gym, "a")
    for path in ("/reset", "/seed_session"):
        status, body = await client.post(path, {**ROW, "goal": 0})
        assert status == 422 and "goal" in body["error"]["message"]


async def test_max_turns_of_the_row_goes_before_that_of_the_configuration(gym: InProcessGym) -> None:
    client = Client(gym, "a")
    await client.post("/reset", {**ROW, "max_turns": 2})
    assert (await client.step("9"))[1]["truncated"] is False
    assert (await client.step("9"))[1]["truncated"] is True
    await client.post("/reset", ROW)
    assert [(await client.step("9"))[1]["truncated"] for _ in range(4)] == [False, False, False, True]


async def test_verify_without_reset_plays_the_model_calls_of_the_response(gym: InProcessGym) -> None:
    said = [message("1"), {"role": "user", "content": "1!"}, message("2"), {"role": "user", "content": "2!"}]
    stored = {**ROW, "response": response_of(*said, message("3"), message("beyond the end"))}
    by_items = await Client(gym, "a").post("/verify", stored)
    # Two messages of one call look like one call, unless the stored turns tell them apart.
    assert by_items[1]["turn_rewards"] == [1.0, 1.0, -0.5]
    turns = [{"output_items": size} for size in (2, 2, 1, 1)]
    assert (await Client(gym, "b").post("/verify", {**stored, "turns": turns}))[1]["reward"] == 3.0
    assert Counting.closed == 2


@pytest.mark.parametrize(("with_tool_calls", "played"), [(False, ["done"]), (True, ["", "done"])])
def test_a_stored_tool_call_is_played_again_where_steps_carry_out_tool_calls(
    with_tool_calls: bool, played: list[str]
) -> None:
    output = [call("add"), {"type": "function_call_output", "call_id": "call_1", "output": "1"}, message("done")]
    turns = [{"output_items": 2, "tool_calls": 1, "reward": None}, {"output_items": 1, "tool_calls": 0, "reward": 1.0}]
    stored = {"response": response_of(*output), "turns": turns, "mode": "multi_turn"}
    assert [one.output_text for one in model_calls(stored, with_tool_calls=with_tool_calls)] == played


async def test_sessions_are_freed_by_close_and_when_the_server_stops() -> None:
    Counting.closed = 0
    async with InProcessGym() as gym:
        gym.add("counting", CountingServer)
        for session in "abc":
            await Client(gym, session).post("/reset", ROW)
        assert (await Client(gym, "a").post("/close", {}))[0] == 200
        assert Counting.closed == 1
    assert Counting.closed == 3


async def test_a_thousand_sessions_side_by_side_mix_nothing_up(gym: InProcessGym) -> None:
    async def episode(number: int) -> float:
        client = Client(gym, f"s{number}")
        goal = number % 4 + 1
        await client.post("/reset", {**ROW, "goal": goal})
        for count in range(1, goal + 1):
            status, body = await client.step(str(count))
            assert status == 200 and body["terminated"] is (count == goal)
        verified = (await client.post("/verify", {**ROW, "goal": goal, "response": response_of(message("x"))}))[1]
        assert verified["counted"] == goal
        return float(verified["reward"])

    rewards = await asyncio.gather(*(episode(number) for number in range(1000)))
    assert rewards == [float(number % 4 + 1) for number in range(1000)]


async def test_steps_of_one_session_run_one_after_the_other(gym: InProcessGym) -> None:
    client = Client(gym, "a")
    await client.post("/reset", ROW)
    answers = await asyncio.gather(*(client.step(text) for text in ("1", "2", "3")))
    assert [body["reward"] for _, body in answers] == [1.0, 1.0, 1.0]
