"""The loop with environments that talk back: which kind of episode a row becomes, and what is kept of its turns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import Request

from nemo_gym.agent_loop.budget import Budget
from nemo_gym.agent_loop.environment import RemoteEnvironment
from nemo_gym.agent_loop.loop import Episode, run_rollout
from nemo_gym.base_resources_server import BaseVerifyRequest, BaseVerifyResponse, SimpleResourcesServer
from nemo_gym.environments import Environment, EnvironmentServer, StepResult
from nemo_gym.environments.replay import model_calls
from nemo_gym.schemas.episode import BaseRunRequest
from nemo_gym.schemas.responses import Response
from nemo_gym.serving.http import RetryPolicy
from nemo_gym.testclient import InProcessGym
from tests.agent_loop.test_loop import Scripted
from tests.rows import call, message, response_of, row_asking


class Riddle(Environment):
    """Three tries; `look` is a tool with a route, `feel` one that the step answers."""

    def __init__(self, row: BaseRunRequest) -> None:
        self.fields = row.model_dump()
        self.turn = 0
        self.looked = 0

    async def reset(self) -> str | None:
        return self.fields.get("opening")

    async def step(self, response: Response) -> StepResult:
        self.turn += 1
        felt = {item.call_id: "It is round." for item in response.function_calls if item.name == "feel"}
        if "crash" in response.output_text:
            raise RuntimeError("the riddle is lost")
        if "an apple" in response.output_text:
            return StepResult(reward=1.0, terminated=True, info={"success": True})
        if self.turn == 3:
            return StepResult("Too late.", -0.25, truncated=True)
        said = None if felt else f"No. Try {self.turn + 1}."
        return StepResult(said, -0.25, tool_outputs=felt, info={"tries": self.turn})


class RiddleServer(EnvironmentServer):
    async def make_environment(self, row: BaseRunRequest) -> Riddle:
        return Riddle(row)

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/look")(self.look)
        return app

    async def look(self, request: Request) -> dict[str, int]:
        environment = self.environment_of(request)
        assert isinstance(environment, Riddle)
        environment.looked += 1
        return {"looked": environment.looked}


class Plain(SimpleResourcesServer):
    async def verify(self, body: BaseVerifyRequest) -> BaseVerifyResponse:
        return BaseVerifyResponse(**body.model_dump(), reward=1.0)


@pytest.fixture
async def gym() -> AsyncIterator[InProcessGym]:
    async with InProcessGym() as gym:
        gym.add("riddle", RiddleServer)
        gym.add("plain", Plain)
        yield gym


def episode(gym: InProcessGym, model: Scripted, row: dict[str, Any], server: str = "riddle", **options: Any) -> Episode:
    environment = RemoteEnvironment(
        gym.client, server, rollout_id="r", tool_timeout_s=5, verify_timeout_s=5, retry=RetryPolicy(max_attempts=1)
    )
    return Episode(row, environment, model, options.pop("budget", Budget()), **options)


def texts(result: dict[str, Any]) -> list[str]:
    """What was said and done, in order."""
    said = []
    for item in result["response"]["output"]:
        content = item.get("content", item.get("output", item.get("name")))
        said.append(content if isinstance(content, str) else content[0]["text"])
    return said


ROW = row_asking("What is red and grows on trees?")


async def test_an_environment_with_turns_is_played_until_it_says_so(gym: InProcessGym) -> None:
    model = Scripted(response_of(message("a cherry?")), response_of(message("an apple!")))
    result = await run_rollout(episode(gym, model, ROW))
    assert texts(result) == ["a cherry?", "No. Try 2.", "an apple!"]
    assert (result["mode"], result["stop_reason"], result["reward"]) == ("multi_turn", "terminated", 0.75)
    assert result["mode_reason"] == "the resources server offers /reset and /step"
    rewards = [(turn["reward"], turn["terminated"], turn["truncated"], turn["info"]) for turn in result["turns"]]
    assert rewards == [(-0.25, False, False, {"tries": 1}), (1.0, True, False, {"success": True})]
    assert [turn["output_items"] for turn in result["turns"]] == [2, 1]
    assert all(turn["step_s"] > 0 for turn in result["turns"]) and result["timings"]["step_s"] > 0
    assert [item["role"] for item in model.requests[1]["input"]] == ["user", "assistant", "user"]


async def test_what_the_environment_says_first_stands_before_the_first_turn(gym: InProcessGym) -> None:
    model = Scripted(response_of(message("an apple")))
    result = await run_rollout(episode(gym, model, {**ROW, "opening": "Ready?"}))
    assert texts(result) == ["Ready?", "an apple"]
    assert [item["content"] for item in model.requests[0]["input"]] == ["What is red and grows on trees?", "Ready?"]
    assert sum(turn["output_items"] for turn in result["turns"]) == len(result["response"]["output"])
    assert [answer.output_text for answer in model_calls(result)] == ["an apple"]


async def test_the_environments_own_limit_is_not_its_end(gym: InProcessGym) -> None:
    result = await run_rollout(episode(gym, Scripted(response_of(message("a pear"))), ROW))
    assert (result["stop_reason"], result["reward"]) == ("truncated", -0.75)
    assert [turn["truncated"] for turn in result["turns"]] == [False, False, True]


async def test_tools_with_a_route_are_called_within_a_turn_and_others_answered_by_the_step(gym: InProcessGym) -> None:
    row = row_asking("What is it?", tools=("look", "feel"))
    both = response_of(call("look", call_id="c1"), call("feel", call_id="c2"))
    model = Scripted(response_of(call("look", call_id="c0")), both, response_of(message("an apple")))
    result = await run_rollout(episode(gym, model, row))
    assert texts(result) == ["look", '{"looked":1}', "look", "feel", '{"looked":2}', "It is round.", "an apple"]
    assert [turn["reward"] for turn in result["turns"]] == [None, -0.25, 1.0]
    assert [turn["tool_calls"] for turn in result["turns"]] == [1, 2, 0]


async def test_a_call_that_nobody_answers_is_told_to_the_model(gym: InProcessGym) -> None:
    row = row_asking("What is it?", tools=("smell",))
    result = await run_rollout(
        episode(gym, Scripted(response_of(call("smell")), response_of(message("an apple"))), row)
    )
    assert "gave no answer to this call of `smell`" in texts(result)[1]


async def test_turns_end_where_the_agents_budget_does(gym: InProcessGym) -> None:
    model = Scripted(response_of(message("a pear")))
    result = await run_rollout(episode(gym, model, ROW, budget=Budget(max_turns=2)))
    assert (result["stop_reason"], len(model.requests), result["reward"]) == ("max_turns", 2, -0.5)
    tools = row_asking("What is it?", tools=("look",))
    looking = Scripted(response_of(call("look")))
    result = await run_rollout(episode(gym, looking, tools, budget=Budget(max_turns=2, max_steps=5)))
    assert (result["stop_reason"], len(looking.requests)) == ("max_steps", 5)


async def test_an_incomplete_answer_or_a_silent_one_ends_the_episode_without_a_step(gym: InProcessGym) -> None:
    cut = response_of(message("an app"), incomplete_details={"reason": "max_output_tokens"})
    result = await run_rollout(episode(gym, Scripted(cut), ROW))
    assert (result["stop_reason"], result["reward"], result["turns"][0]["reward"]) == ("incomplete", 0.0, None)
    thought = response_of({"type": "reasoning", "summary": []})
    result = await run_rollout(episode(gym, Scripted(thought), ROW))
    assert (result["stop_reason"], result["reward"]) == ("no_message", 0.0)


async def test_a_failing_step_is_a_failure_and_never_a_reward(gym: InProcessGym) -> None:
    result = await run_rollout(episode(gym, Scripted(response_of(message("crash"))), ROW))
    assert "reward" not in result
    assert (result["_ng_failure_class"], result["_ng_failure"]["stage"]) == ("resources_error", "step")
    assert "the riddle is lost" in result["_ng_failure"]["message"]
    server = gym.servers["riddle"]
    assert isinstance(server, RiddleServer) and not server._episodes


async def test_the_kind_of_each_row_is_found_and_told(gym: InProcessGym) -> None:
    done = Scripted(response_of(message("done")))
    single = await run_rollout(episode(gym, done, ROW, "plain"))
    assert (single["mode"], single["mode_reason"]) == ("single_turn", "the row declares no tools")
    tools = await run_rollout(episode(gym, done, row_asking("hi", tools=("look",)), "plain"))
    assert (tools["mode"], tools["mode_reason"]) == ("multi_step", "the row declares 1 tools")
    apple = Scripted(response_of(message("an apple")))
    alone = await run_rollout(episode(gym, apple, ROW, use_environment=False))
    assert (alone["mode"], alone["reward"], alone["stop_reason"]) == ("single_turn", 1.0, "completed")
    assert "`use_environment` is false" in alone["mode_reason"]


async def test_a_route_that_takes_any_path_is_no_offer_of_turns(gym: InProcessGym) -> None:
    class CatchAll(Plain):
        def setup_webserver(self) -> FastAPI:
            app = super().setup_webserver()
            app.post("/{path}")(self.any_tool)
            return app

        async def any_tool(self, path: str) -> dict[str, str]:
            return {"called": path}

    gym.add("catch_all", CatchAll)
    model = Scripted(response_of(call("look")), response_of(message("done")))
    result = await run_rollout(episode(gym, model, row_asking("hi", tools=("look",)), "catch_all"))
    assert (result["mode"], result["reward"], texts(result)[1]) == ("multi_step", 1.0, '{"called":"look"}')


@pytest.mark.parametrize(
    ("answer", "message_part"),
    [
        ({"observation": "x", "reward": None}, "must be a finite number"),
        ({"observation": "x", "reward": True}, "must be a finite number"),
        ({"observation": [{"type": "nonsense"}], "reward": 0}, "observation[0].type"),
        ({"observation": {"role": "user"}, "reward": 0}, "no list of items"),
        ({"reward": 0, "info": "x"}, "must be an object"),
        ({"reward": 0, "info": {"tool_outputs": [1]}}, "tool_outputs"),
        ([], "no JSON object"),
    ],
)
async def test_a_step_that_breaks_the_protocol_is_a_failure_that_says_so(answer: Any, message_part: str) -> None:
    class Broken(Plain):
        def setup_webserver(self) -> FastAPI:
            app = super().setup_webserver()
            app.post("/reset")(self.reset)
            app.post("/step")(self.step)
            return app

        async def reset(self) -> dict[str, Any]:
            return {}

        async def step(self) -> Any:
            return answer

    async with InProcessGym() as gym:
        gym.add("broken", Broken)
        result = await run_rollout(episode(gym, Scripted(response_of(message("hi"))), ROW, "broken"))
    failure = result["_ng_failure"]
    assert (failure["failure_class"], failure["stage"]) == ("resources_error", "step")
    assert message_part in failure["message"]


async def test_all_turns_as_one_message_are_continued_by_the_model(gym: InProcessGym) -> None:
    model = Scripted(response_of(message("a cherry? ")), response_of(message(" an apple!")))
    row = {**ROW, "opening": "Ready?"}
    result = await run_rollout(episode(gym, model, row, use_conversation_multi_turn=False))
    first, second = model.requests
    assert "continue_final_message" not in first
    assert (second["continue_final_message"], second["add_generation_prompt"]) == (True, False)
    assert second["input"][1:] == [
        {"role": "user", "content": "Ready?"},
        {"role": "assistant", "content": "a cherry? No. Try 2."},
    ]
    assert texts(result) == ["Ready?", "a cherry? ", "No. Try 2.", " an apple!"]
    assert result["use_conversation_multi_turn"] is False


async def test_one_message_cannot_hold_tool_calls(gym: InProcessGym) -> None:
    row = row_asking("What is it?", tools=("look",))
    result = await run_rollout(episode(gym, Scripted(), row, use_conversation_multi_turn=False))
    assert result["_ng_failure_class"] == "bad_row"
    assert "use_conversation_multi_turn" in result["_ng_failure"]["message"]
