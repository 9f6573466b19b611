"""The loop of an episode, with a real resources server in this process and models that say what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import Field
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from nemo_gym.agent_loop.budget import Budget
from nemo_gym.agent_loop.environment import RemoteEnvironment
from nemo_gym.agent_loop.failure import EpisodeFailure
from nemo_gym.agent_loop.loop import Episode, run_rollout
from nemo_gym.agent_loop.model import checked_response
from nemo_gym.base_resources_server import (
    BaseSeedSessionRequest,
    BaseSeedSessionResponse,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)
from nemo_gym.schemas.rollout import FailureClass
from nemo_gym.serving.http import RetryPolicy
from nemo_gym.serving.sessions import SESSION_ID_KEY
from nemo_gym.testclient import InProcessGym
from tests.rows import call, message, response_of, row_asking

Answer = Callable[[dict[str, Any]], dict[str, Any]]
TOOLS = ("add", "broken", "binary", "slow", "verify")


class Adder(SimpleResourcesServer):
    """Reward: the sum of what was added."""

    closed: list[str] = Field(default_factory=list)
    running: int = 0
    most_running: int = 0

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/add")(self.add)
        app.post("/broken")(self.broken)
        app.post("/binary")(self.binary)
        app.post("/slow")(self.slow)
        return app

    async def seed_session(self, request: Request, body: BaseSeedSessionRequest) -> BaseSeedSessionResponse:
        request.session["sum"] = body.model_dump().get("start", 0)
        return BaseSeedSessionResponse()

    async def add(self, request: Request, body: dict[str, Any]) -> Response:
        request.session["sum"] += body["by"]
        return PlainTextResponse(str(request.session["sum"]))

    async def broken(self, request: Request) -> None:
        raise RuntimeError("out of order")

    async def binary(self) -> Response:
        return Response(b"\xff\x00\xfe")

    async def slow(self, request: Request) -> Response:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0.02)
        self.running -= 1
        return PlainTextResponse("done")

    async def verify(self, request: Request, body: BaseVerifyRequest) -> BaseVerifyResponse:
        reward = request.session["sum"]
        if body.model_dump().get("spoil"):
            reward = float("nan")
        return BaseVerifyResponse(**body.model_dump(), reward=reward)

    async def close_session(self, session_id: str) -> None:
        self.closed.append(session_id)


class Scripted:
    """A model that gives its n-th call the n-th answer, the last one for ever."""

    def __init__(self, *answers: dict[str, Any] | Answer | EpisodeFailure) -> None:
        self.answers = answers
        self.requests: list[dict[str, Any]] = []

    async def respond(self, params: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(params)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if isinstance(answer, EpisodeFailure):
            raise answer
        return checked_response(answer(params) if callable(answer) else answer, "policy_model")


@pytest.fixture
async def gym() -> AsyncIterator[InProcessGym]:
    async with InProcessGym() as gym:
        yield gym


async def play(
    gym: InProcessGym,
    model: Scripted,
    row: dict[str, Any] | None = None,
    *,
    budget: Budget | None = None,
    **options: bool,
) -> tuple[dict[str, Any], Adder]:
    server = gym.add("adder", Adder)
    assert isinstance(server, Adder)
    row = row or row_asking("add things", tools=TOOLS)
    environment = RemoteEnvironment(
        gym.client, "adder", rollout_id="r", tool_timeout_s=5, verify_timeout_s=5, retry=RetryPolicy(max_attempts=1)
    )
    episode = Episode(row, environment, model, budget or Budget(), **options)
    return await run_rollout(episode), server


def outputs(result: dict[str, Any]) -> list[str]:
    return [item["output"] for item in result["response"]["output"] if item["type"] == "function_call_output"]


async def test_a_message_ends_a_single_turn(gym: InProcessGym) -> None:
    result, _ = await play(gym, Scripted(response_of(message("hi"))), row_asking("hello", start=2))
    assert (result["reward"], result["stop_reason"], result["mode"]) == (2, "completed", "single_turn")


async def test_tools_run_until_the_model_answers_and_everything_is_in_order(gym: InProcessGym) -> None:
    model = Scripted(
        response_of(message("let me see"), call("add", '{"by": 2}', "a")),
        response_of(call("add", '{"by": 3}', "b"), call("add", '{"by": 4}', "c")),
        response_of(message("nine")),
    )
    result, _ = await play(gym, model)
    assert (result["reward"], result["stop_reason"], result["mode"]) == (9, "completed", "multi_step")
    kinds = [item["type"] for item in result["response"]["output"]]
    assert kinds == [
        *("message", "function_call", "function_call_output"),
        *("function_call", "function_call", "function_call_output", "function_call_output"),
        "message",
    ]
    assert outputs(result) == ["2", "5", "9"]
    assert [turn["tool_calls"] for turn in result["turns"]] == [1, 2, 0]
    assert [turn["output_items"] for turn in result["turns"]] == [3, 4, 1]
    assert (
        model.requests[2]["input"]
        == row_asking("add things")["responses_create_params"]["input"] + (result["response"]["output"][:-1])
    )


async def test_a_string_input_becomes_the_first_user_message(gym: InProcessGym) -> None:
    model = Scripted(response_of(message("hi")))
    await play(gym, model, {"responses_create_params": {"input": "hello"}})
    assert model.requests[0]["input"] == [{"role": "user", "content": "hello"}]


async def test_the_session_is_freed_after_verify(gym: InProcessGym) -> None:
    _, server = await play(gym, Scripted(response_of(message("hi"))))
    assert len(server.closed) == 1


async def test_usage_is_added_up_over_all_calls(gym: InProcessGym) -> None:
    usage = {"input_tokens": 3, "total_tokens": 5, "input_tokens_details": {"cached_tokens": 1}}
    model = Scripted(response_of(call("add", '{"by": 1}'), usage=usage), response_of(message("x"), usage=usage))
    result, _ = await play(gym, model)
    expected = {"input_tokens": 6, "total_tokens": 10, "input_tokens_details": {"cached_tokens": 2}}
    assert result["usage"] == expected and result["response"]["usage"]["total_tokens"] == 10


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (call("verify"), "cannot be used as a tool's name"),
        (call("seed_session"), "there is no tool `seed_session`"),
        (call("../verify"), "there is no tool"),
        (call("addd"), "did you mean `add`?"),
        (call("add", "{broken"), "the arguments are no JSON"),
        (call("add", "[1]"), "the arguments must be a JSON object, got list"),
        (call("broken"), "out of order"),
        (call("add", '{"by": null}'), "TypeError"),
        (call("binary"), "\ufffd\x00\ufffd"),
    ],
)
async def test_a_call_that_goes_wrong_gets_text_and_the_session_goes_on(
    gym: InProcessGym, item: dict[str, Any], said: str
) -> None:
    model = Scripted(response_of(call("add", '{"by": 1}', "x")), response_of(item), response_of(message("done")))
    result, _ = await play(gym, model)
    assert said in outputs(result)[1]
    assert (result["reward"], result["stop_reason"]) == (1, "completed")


async def test_reasoning_alone_ends_the_episode(gym: InProcessGym) -> None:
    model = Scripted(response_of({"type": "reasoning", "summary": []}))
    result, _ = await play(gym, model)
    assert (result["stop_reason"], len(model.requests), result["reward"]) == ("no_message", 1, 0)


async def test_a_tool_that_answers_more_than_allowed_is_a_failure(gym: InProcessGym) -> None:
    gym.add("adder", Adder)
    environment = RemoteEnvironment(
        gym.client,
        "adder",
        rollout_id="r",
        tool_timeout_s=5,
        verify_timeout_s=5,
        retry=RetryPolicy(max_attempts=1),
        max_tool_output_bytes=2,
    )
    model = Scripted(response_of(call("binary")), response_of(message("done")))
    result = await run_rollout(Episode(row_asking("x", tools=TOOLS), environment, model, Budget()))
    assert result["_ng_failure_class"] == "tool_error" and "reward" not in result
    assert "more than 2 bytes" in result["_ng_failure"]["message"]


async def test_an_incomplete_answer_ends_the_episode_and_runs_no_tool(gym: InProcessGym) -> None:
    answer = response_of(call("add", '{"by": 1}'), incomplete_details={"reason": "max_output_tokens"})
    result, _ = await play(gym, Scripted(answer))
    assert (result["stop_reason"], result["reward"], outputs(result)) == ("incomplete", 0, [])
    assert result["response"]["incomplete_details"]["reason"] == "max_output_tokens"


@pytest.mark.parametrize(
    ("budget", "reason", "calls"),
    [
        (Budget(max_steps=3), "max_steps", 3),
        (Budget(max_tool_calls=2), "max_tool_calls", 2),
        (Budget(max_total_tokens=25), "max_total_tokens", 3),
        (Budget(time_limit_s=0.0), "time_limit", 0),
    ],
)
async def test_a_budget_ends_the_episode_and_it_is_still_scored(
    gym: InProcessGym, budget: Budget, reason: str, calls: int
) -> None:
    def growing(params: dict[str, Any]) -> dict[str, Any]:
        return response_of(call("add", '{"by": 1}'), usage={"total_tokens": 5 + 5 * len(params["input"])})

    model = Scripted(growing)
    result, _ = await play(gym, model, budget=budget)
    assert (result["stop_reason"], len(model.requests), result["reward"]) == (reason, calls, calls)
    incomplete = result["response"].get("incomplete_details")
    assert (incomplete == {"reason": "max_steps"}) == (reason == "max_steps")


@pytest.mark.parametrize(("asked", "allowed", "most"), [(True, True, 3), (True, False, 1), (None, True, 1)])
async def test_tools_run_side_by_side_only_if_both_row_and_agent_say_so(
    gym: InProcessGym, asked: bool | None, allowed: bool, most: int
) -> None:
    row = row_asking("x", tools=TOOLS)
    row["responses_create_params"]["parallel_tool_calls"] = asked
    calls = [call("slow", call_id=f"c{n}") for n in range(3)]
    result, server = await play(
        gym, Scripted(response_of(*calls), response_of(message("x"))), row, parallel_tools=allowed
    )
    assert server.most_running == most
    assert outputs(result) == ["done"] * 3


async def test_a_model_failure_is_typed_has_no_reward_and_frees_the_session(gym: InProcessGym) -> None:
    failure = EpisodeFailure(FailureClass.MODEL_TIMEOUT, "model", "too slow", server="policy_model", attempts=2)
    result, server = await play(gym, Scripted(response_of(call("add", '{"by": 1}')), failure))
    assert "reward" not in result
    assert (result["_ng_failure_class"], result["_ng_failure_terminal"]) == ("model_timeout", False)
    assert result["_ng_failure"]["message"] == "too slow" and result["_ng_failure"]["attempts"] == 2
    assert result["stop_reason"] == "failed" and len(result["response"]["output"]) == 2
    assert len(server.closed) == 1


@pytest.mark.parametrize(("turns_before", "stops"), [(1, True), (0, False)])
async def test_an_overflow_is_scored_where_the_agent_says_so_and_something_was_said(
    gym: InProcessGym, turns_before: int, stops: bool
) -> None:
    overflow = EpisodeFailure(FailureClass.CONTEXT_OVERFLOW, "model", "too long")
    model = Scripted(*[response_of(call("add", '{"by": 1}'))] * turns_before, overflow)
    result, _ = await play(gym, model, stop_on_overflow=True)
    if stops:
        assert (result["stop_reason"], result["reward"]) == ("context_overflow", 1)
        assert result["response"]["incomplete_details"] == {"reason": "context_overflow"}
    else:
        assert result["_ng_failure_class"] == "context_overflow" and "reward" not in result


@pytest.mark.parametrize(
    ("answer", "message_part"),
    [
        ({"error": {"message": "no"}}, "the model reports an error"),
        (response_of({"type": "mystery"}), "output[0].type: `mystery` is no item type"),
        (response_of({"type": "function_call", "name": "add"}), "output[0].call_id: Field required"),
        ({"id": "x"}, "output"),
    ],
)
async def test_an_answer_the_loop_cannot_use_is_a_model_error(
    gym: InProcessGym, answer: dict[str, Any], message_part: str
) -> None:
    result, _ = await play(gym, Scripted(answer))
    assert result["_ng_failure_class"] == "model_error" and message_part in result["_ng_failure"]["message"]


async def test_a_verify_answer_without_a_finite_reward_is_a_verify_error(gym: InProcessGym) -> None:
    result, server = await play(gym, Scripted(response_of(message("x"))), row_asking("x", spoil=True))
    assert result["_ng_failure_class"] == "verify_error" and "reward" not in result
    assert server.closed != []


async def test_cancelling_a_rollout_frees_its_session(gym: InProcessGym) -> None:
    class Hanging:
        async def respond(self, params: dict[str, Any]) -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

    server = gym.add("adder", Adder)
    assert isinstance(server, Adder)
    environment = RemoteEnvironment(
        gym.client, "adder", rollout_id="r", tool_timeout_s=5, verify_timeout_s=5, retry=RetryPolicy(max_attempts=1)
    )
    row = row_asking("x")
    task = asyncio.ensure_future(run_rollout(Episode(row, environment, Hanging(), Budget())))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(server.closed) == 1


async def test_rollouts_side_by_side_never_share_a_session(gym: InProcessGym) -> None:
    gym.add("adder", Adder)

    async def one(start: int) -> tuple[int, dict[str, Any]]:
        environment = RemoteEnvironment(
            gym.client, "adder", rollout_id="r", tool_timeout_s=5, verify_timeout_s=5, retry=RetryPolicy(max_attempts=1)
        )
        model = Scripted(
            response_of(call("slow")), response_of(call("add", '{"by": 1000}', "b")), response_of(message("x"))
        )
        row = row_asking("x", tools=TOOLS, start=start)
        episode = Episode(row, environment, model, Budget())
        return start, await run_rollout(episode)

    for start, result in await asyncio.gather(*(one(start) for start in range(100))):
        assert result["reward"] == start + 1000


def test_session_id_key_is_what_handlers_read() -> None:
    assert SESSION_ID_KEY == "session_id"
