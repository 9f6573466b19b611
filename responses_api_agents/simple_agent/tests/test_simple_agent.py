"""simple_agent with its neighbours in this process, and over sockets where the connection itself matters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from starlette.requests import Request

from nemo_gym.base_resources_server import BaseVerifyRequest, BaseVerifyResponse, SimpleResourcesServer
from nemo_gym.base_responses_api_model import SimpleResponsesAPIModel
from nemo_gym.errors import LaunchError
from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.schemas.rollout import ROLLOUT_ID_HEADER
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.process import serve
from nemo_gym.testclient import InProcessGym

FOLDER = Path(__file__).resolve().parent.parent


class Environment(SimpleResourcesServer):
    verify_status: int = 200
    rollout_ids: list[str] = []  # noqa: RUF012  pydantic copies it for each server

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/look")(self.look)
        return app

    async def look(self, request: Request) -> dict[str, bool]:
        self.rollout_ids.append(request.headers[ROLLOUT_ID_HEADER])
        return {"seen": True}

    async def verify(self, body: BaseVerifyRequest) -> BaseVerifyResponse:
        if self.verify_status != 200:
            raise HTTPException(self.verify_status, "no reward today")
        return BaseVerifyResponse(**body.model_dump(), reward=0.5)


class Model(SimpleResponsesAPIModel):
    status: int = 200
    error: str = ""
    hang: bool = False
    cancelled: int = 0

    async def responses(self, request: Request, body: ResponseCreateParams) -> Response:
        if self.status != 200:
            raise HTTPException(self.status, self.error)
        if self.hang:
            await asyncio.Event().wait()
        calls = sum(item.type == "function_call_output" for item in body.input)  # type: ignore[union-attr]
        item: dict[str, Any] = {"type": "function_call", "call_id": f"c{calls}", "name": "look", "arguments": "{}"}
        if calls == 2 or not body.tools:
            item = {"role": "assistant", "type": "message", "content": [{"type": "output_text", "text": "done"}]}
        return Response(id="r", created_at=0, model="m", output=[item])  # type: ignore[list-item]


@pytest.fixture
async def gym() -> AsyncIterator[InProcessGym]:
    async with InProcessGym() as gym:
        gym.add("env", Environment)
        gym.add("policy_model", Model)
        add_agent(gym)
        yield gym


def add_agent(gym: InProcessGym, **settings: Any) -> None:
    gym.add("agent", FOLDER, resources_server={"name": "env"}, model_server={"name": "policy_model"}, **settings)


def server(gym: InProcessGym, name: str) -> Any:
    return gym.servers[name]


ROW = {
    "responses_create_params": {"input": "look around", "tools": [{"type": "function", "name": "look"}]},
    "_ng_rollout_id": "t7-r1",
    "_ng_task_index": 7,
    "agent_ref": {"type": "responses_api_agents", "name": "agent"},
}


async def run(gym: InProcessGym, row: dict[str, Any] = ROW) -> dict[str, Any]:
    answer = await gym.client.post("agent", "/run", row)
    assert answer.status == 200, answer.text
    result = answer.parse()
    assert isinstance(result, dict)
    return result


async def test_run_answers_with_reward_record_and_reserved_keys(gym: InProcessGym) -> None:
    result = await run(gym)
    assert (result["reward"], result["stop_reason"], result["mode"]) == (0.5, "completed", "multi_step")
    assert (result["_ng_rollout_id"], result["_ng_task_index"], result["agent_ref"]["name"]) == ("t7-r1", 7, "agent")
    assert len(result["turns"]) == 3 and set(result["timings"]) >= {"model_s", "tools_s", "verify_s"}


async def test_every_call_carries_the_rollout_id(gym: InProcessGym) -> None:
    await run(gym)
    assert server(gym, "env").rollout_ids == ["t7-r1", "t7-r1"]


async def test_max_steps_is_reported_as_stop_reason_and_incomplete_details(gym: InProcessGym) -> None:
    add_agent(gym, max_steps=1)
    result = await run(gym)
    assert result["stop_reason"] == "max_steps"
    assert result["response"]["incomplete_details"] == {"reason": "max_steps"}


@pytest.mark.parametrize(
    ("status", "error", "failure_class", "terminal"),
    [
        (500, "engine down", "model_error", False),
        (504, "upstream", "model_timeout", False),
        (400, "this model's maximum context length is 4096 tokens", "context_overflow", True),
        (400, "bad parameter", "model_error", False),
    ],
)
async def test_a_model_server_that_refuses_is_a_typed_failure(
    gym: InProcessGym, status: int, error: str, failure_class: str, terminal: bool
) -> None:
    server(gym, "policy_model").status, server(gym, "policy_model").error = status, error
    result = await run(gym)
    assert "reward" not in result
    assert (result["_ng_failure_class"], result["_ng_failure_terminal"]) == (failure_class, terminal)
    assert result["_ng_failure"]["server"] == "policy_model" and error in result["_ng_failure"]["message"]


async def test_a_model_that_never_answers_is_a_model_timeout(gym: InProcessGym) -> None:
    server(gym, "policy_model").hang = True
    add_agent(gym, model_timeout_s=0.1)
    assert (await run(gym))["_ng_failure_class"] == "model_timeout"


@pytest.mark.parametrize(("status", "failure_class"), [(500, "verify_error"), (422, "bad_row")])
async def test_a_verifier_that_refuses_is_a_typed_failure(gym: InProcessGym, status: int, failure_class: str) -> None:
    server(gym, "env").verify_status = status
    result = await run(gym)
    assert "reward" not in result and result["_ng_failure_class"] == failure_class


async def test_a_missing_resources_server_is_unreachable(gym: InProcessGym) -> None:
    address = gym.client.directory["env"]
    gym.client.directory["env"] = address.model_copy(update={"urls": ("http://nowhere",)})
    add_agent(gym, max_attempts=2, max_retry_s=1)
    result = await run(gym)
    assert (result["_ng_failure_class"], result["_ng_failure"]["attempts"]) == ("unreachable", 2)


async def test_a_row_that_makes_no_sense_is_refused_with_its_place(gym: InProcessGym) -> None:
    answer = await gym.client.post("agent", "/run", {"responses_create_params": {"input": [{"type": "mystery"}]}})
    assert answer.status == 422
    assert "responses_create_params.input[0].type: `mystery`" in answer.text


async def test_the_agent_answers_as_a_model_too(gym: InProcessGym) -> None:
    answer = await gym.client.post("agent", "/v1/responses", ROW["responses_create_params"])
    response = answer.parse()
    assert [item["type"] for item in response["output"]].count("function_call_output") == 2
    assert "ng_session_env" in answer.cookies


@pytest.mark.parametrize("cookie", ["0", "a b=c", "path=/", "=", "x=\u00ff"])
async def test_the_agent_answers_a_client_with_cookies_that_are_none(gym: InProcessGym, cookie: str) -> None:
    params = ROW["responses_create_params"]
    answer = await gym.client.post("agent", "/v1/responses", params, headers={"cookie": cookie})
    assert answer.status == 200 and "ng_session_env" in answer.cookies


async def test_aggregate_metrics_are_the_resources_servers(gym: InProcessGym) -> None:
    rollouts = [{"_ng_task_index": 0, "_ng_rollout_index": n, "reward": n} for n in (0, 1)]
    answer = await gym.client.post("agent", "/aggregate_metrics", {"verify_responses": rollouts})
    assert answer.parse()["agent_metrics"]["mean/reward"] == 0.5


async def test_metrics_mode_is_the_resources_servers(gym: InProcessGym) -> None:
    assert (await gym.client.get("agent", "/metrics_mode")).parse() == "default"


async def test_a_client_that_goes_away_ends_the_rollout(gym: InProcessGym) -> None:
    """Over a real socket: the agent notices the disconnect, and the environment's session is freed."""
    import socket

    server(gym, "policy_model").hang = True
    listen = socket.socket()
    listen.bind(("127.0.0.1", 0))
    ready = asyncio.Event()
    serving = asyncio.ensure_future(serve(gym.apps["agent"], listen, on_ready=ready.set, handles_signals=False))
    await ready.wait()
    http = HttpClient()
    call = asyncio.ensure_future(http.request("POST", f"http://127.0.0.1:{listen.getsockname()[1]}/run", json=ROW))
    sessions = server(gym, "env")._sessions
    while len(sessions) == 0:  # noqa: ASYNC110  another server's state has no event to wait for
        await asyncio.sleep(0.01)
    call.cancel()
    async with asyncio.timeout(5):
        while len(sessions):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await http.close()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_all_turns_as_one_message_need_a_model_server_that_can_continue_it() -> None:
    class Continuing(Model):
        continues_final_message = True

    async with InProcessGym() as gym:
        gym.add("model", Model)
        gym.add("continuing", Continuing)
        references = {"resources_server": {"name": "env"}, "use_conversation_multi_turn": False}
        refused = gym.add("refused", FOLDER, model_server={"name": "model"}, **references)
        with pytest.raises(LaunchError, match="use_conversation_multi_turn: false` is not supported"):
            await refused.startup()
        await gym.add("accepted", FOLDER, model_server={"name": "continuing"}, **references).startup()
