"""The short forms of an environment: step and reset, the reward patterns, is_completed and env_response."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from nemo_gym.environments import (
    BaseEnvironment,
    ClassEnvironmentServer,
    FinalReward,
    MultiTurnEnv,
    ProgressReward,
    Rubric,
    SingleTurnEnv,
    TurnLevelReward,
)
from nemo_gym.testclient import InProcessGym
from tests.rows import call, message, response_of, row_asking


class Session:
    """One episode of a class, by HTTP."""

    def __init__(self, gym: InProcessGym, row: dict[str, Any]) -> None:
        self.gym, self.row = gym, row
        self.headers = {"x-session-id": f"s{id(self)}"}

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.gym.client.post("env", path, {**self.row, **body}, headers=self.headers)
        parsed: dict[str, Any] = answer.parse()
        return parsed

    async def step(self, *items: dict[str, Any]) -> dict[str, Any]:
        return await self.post("/step", {"response": response_of(*items)})

    async def say(self, text: str) -> tuple[float, Any, bool]:
        answer = await self.step(message(text))
        return answer["reward"], answer["observation"], answer["terminated"]


def serving(gym: InProcessGym, environment: type, **settings: Any) -> None:
    class Server(ClassEnvironmentServer):
        environment_class = environment

    gym.add("env", Server, **settings)


class Sum(BaseEnvironment):
    """As the form is usually written: own arguments, own counting, ordinary methods."""

    threads: set[int] = set()  # noqa: RUF012

    def __init__(self, max_turns: int = 5, hint: str = "") -> None:
        super().__init__(max_turns)
        self.hint = hint

    def step(self, response: str, ground_truth: Any) -> tuple[float, str | None, bool]:
        self.threads.add(threading.get_ident())
        self.current_turn += 1
        if response.strip() == ground_truth:
            return 1.0, None, True
        if self.current_turn < self.max_turns:
            return 0.0, f"Not {response}. {self.hint}", False
        return 0.0, None, True


async def test_a_class_with_step_and_reset_is_served_over_http() -> None:
    row = row_asking("2 + 2?", ground_truth="4")
    async with InProcessGym() as gym:
        serving(gym, Sum, max_turns=2, environment_args={"hint": "Think."})
        session = Session(gym, row)
        await session.post("/reset", {})
        assert await session.say("5") == (0.0, "Not 5. Think.", False)
        assert await session.say("4") == (1.0, None, True)
        verified = await session.post("/verify", {"response": response_of(message("4"))})
        assert (verified["reward"], verified["turn_rewards"]) == (1.0, [0.0, 1.0])
        other = Session(gym, {**row, "max_turns": 1})
        await other.post("/reset", {})
        assert await other.say("5") == (0.0, None, True)
    assert threading.get_ident() not in Sum.threads


async def test_a_class_that_inherits_from_nothing_is_served_too() -> None:
    class Bare:
        async def reset(self) -> str:
            return "Say hello."

        async def step(self, response: str, ground_truth: dict[str, Any]) -> tuple[float, None, bool]:
            return float(ground_truth["greeting"] in response), None, True

    async with InProcessGym() as gym:
        serving(gym, Bare)
        session = Session(gym, row_asking("Greet.", greeting="hello"))
        assert (await session.post("/reset", {}))["observation"] == "Say hello."
        assert await session.say("hello!") == (1.0, None, True)


@pytest.mark.parametrize(
    ("returned", "complaint"),
    [
        (None, "must return (reward, observation, done)"),
        ((1.0, None), "must return (reward, observation, done)"),
        ((float("nan"), None, True), "finite number"),
        (("1", None, True), "finite number"),
        ((1.0, 5, False), "observation"),
    ],
)
async def test_a_step_that_returns_something_else_is_an_error_that_says_so(returned: Any, complaint: str) -> None:
    class Wrong(BaseEnvironment):
        def step(self, response: str, ground_truth: Any) -> Any:
            return returned

    async with InProcessGym() as gym:
        serving(gym, Wrong)
        session = Session(gym, row_asking("hi"))
        await session.post("/reset", {})
        answer = await session.step(message("hi"))
        assert complaint in answer["error"]["message"] and "Wrong" in answer["error"]["message"]


async def test_arguments_that_a_class_does_not_take_are_named() -> None:
    async with InProcessGym() as gym:
        serving(gym, Sum, environment_args={"colour": "red"})
        answer = await Session(gym, row_asking("hi")).post("/reset", {})
        assert "Sum cannot be made" in answer["error"]["message"] and "colour" in answer["error"]["message"]


class Guess:
    def is_correct(self, response: str, ground_truth: Any) -> bool:
        return response == ground_truth

    def is_well_formatted(self, response: str) -> bool:
        return response.isdecimal()

    def calculate_progress(self, response: str, ground_truth: Any) -> float:
        return len(response) / len(ground_truth)


def played(environment: BaseEnvironment, *said: str) -> list[tuple[float, bool]]:
    environment.reset()
    steps = [environment.step(text, "12345") for text in said]
    assert all((observation is None) is done for _, observation, done in steps)
    return [(reward, done) for reward, _, done in steps]


def test_the_three_reward_patterns() -> None:
    final = type("Final", (Guess, FinalReward, BaseEnvironment), {})(max_turns=2)
    assert played(final, "1", "12345") == [(0.0, False), (1.0, True)]
    assert played(final, "1", "2") == [(0.0, False), (0.0, True)]
    turns = type("Turns", (Guess, TurnLevelReward, BaseEnvironment), {})(max_turns=4)
    assert played(turns, "1", "x", "2", "3") == [(0.05, False), (0.0, False), (0.05, False), (0.05, True)]
    assert played(turns, "12345") == [(1.0, True)]
    progress = type("Progress", (Guess, ProgressReward, BaseEnvironment), {})(max_turns=2)
    assert played(progress, "1", "12") == [(pytest.approx(0.02), False), (0.4, True)]
    assert played(progress, "12345") == [(1.0, True)]


class Echo(MultiTurnEnv):
    """Until five messages are there, as in the usual example."""

    def is_completed(self, messages: list[dict[str, Any]], state: dict[str, Any], **kwargs: Any) -> bool:
        return len(messages) >= 5

    def env_response(self, messages: list[dict[str, Any]], state: dict[str, Any], **kwargs: Any) -> Any:
        state["heard"] = [*state.get("heard", []), messages[-1]["content"]]
        return [{"role": "user", "content": f"Feedback {len(state['heard'])}"}], state


def correct(completion: list[dict[str, Any]], answer: str) -> float:
    return float(completion[-1]["content"] == answer)


async def brief(state: dict[str, Any], colour: str) -> float:
    return 1.0 if len(state["heard"]) < 3 and colour == "red" else 0.0


async def test_is_completed_and_env_response_over_messages_scored_by_a_rubric() -> None:
    class Scored(Echo):
        def __init__(self) -> None:
            super().__init__(rubric=Rubric([correct, brief], weights=[1.0, 0.5]))

    async with InProcessGym() as gym:
        serving(gym, Scored)
        session = Session(gym, row_asking("go", answer="c", colour="red"))
        await session.post("/reset", {})
        first = await session.step(message("a"))
        assert first["observation"] == [{"role": "user", "content": "Feedback 1"}]
        await session.step(message("b"))
        assert await session.say("c") == (1.5, None, True)
        verified = await session.post("/verify", {"response": response_of(message("c"))})
        assert verified["reward_components"] == {"correct": 1.0, "brief": 0.5}


async def test_max_turns_truncates_and_a_single_turn_environment_takes_one_answer() -> None:
    class Short(Echo):
        def __init__(self, max_turns: int = 2) -> None:
            super().__init__(Rubric([correct]), max_turns)

    class Single(SingleTurnEnv):
        def __init__(self) -> None:
            super().__init__(Rubric([correct]))

    row = row_asking("go", answer="b")
    async with InProcessGym() as gym:
        serving(gym, Short)
        session = Session(gym, row)
        await session.post("/reset", {})
        await session.step(message("a"))
        last = await session.step(message("b"))
        assert (last["reward"], last["terminated"], last["truncated"]) == (1.0, False, True)
    async with InProcessGym() as gym:
        serving(gym, Single)
        session = Session(gym, row)
        await session.post("/reset", {})
        assert await session.say("b") == (1.0, None, True)


async def test_tool_messages_of_an_environment_answer_the_policys_calls() -> None:
    class Tools(MultiTurnEnv):
        def is_completed(self, messages: list[dict[str, Any]], state: dict[str, Any], **kwargs: Any) -> bool:
            return "tool_calls" not in messages[-1]

        def env_response(self, messages: list[dict[str, Any]], state: dict[str, Any], **kwargs: Any) -> Any:
            calls = messages[-1]["tool_calls"]
            return [{"role": "tool", "tool_call_id": calls[0]["id"], "content": calls[0]["function"]["name"]}]

    async with InProcessGym() as gym:
        serving(gym, Tools)
        session = Session(gym, row_asking("go", tools=("look",)))
        await session.post("/reset", {})
        answer = await session.step(call("look", call_id="c7"))
        assert answer["info"]["tool_outputs"] == [{"call_id": "c7", "output": "look"}]
        assert (await session.step(message("done")))["terminated"] is True


async def test_a_reward_function_without_a_number_is_an_error() -> None:
    def nothing() -> None:
        return None

    with pytest.raises(Exception, match=r"nothing\(\) must return a finite number"):
        await Rubric([nothing]).score({})
    with pytest.raises(ValueError, match="1 functions has 2 weights"):
        Rubric([nothing], weights=[1.0, 2.0])


async def test_slow_ordinary_steps_of_many_sessions_run_side_by_side() -> None:
    barrier = threading.Barrier(4, timeout=20)

    class Waiting(BaseEnvironment):
        def step(self, response: str, ground_truth: Any) -> tuple[float, None, bool]:
            barrier.wait()
            return 1.0, None, True

    async with InProcessGym() as gym:
        serving(gym, Waiting)
        sessions = [Session(gym, row_asking("hi")) for _ in range(4)]
        for session in sessions:
            await session.post("/reset", {})
        assert await asyncio.gather(*(session.say("x") for session in sessions)) == [(1.0, None, True)] * 4
