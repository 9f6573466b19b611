"""NeMoGymAsyncOpenAI against a real server: what it sends, what it returns, how it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponseError
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from nemo_gym.errors import BadStatus
from nemo_gym.openai_utils import NeMoGymAsyncOpenAI, NeMoGymResponseCreateParamsNonStreaming
from nemo_gym.serving.calls import close_shared_client
from tests.local_app import running_app

seen: list[dict[str, Any]] = []


def endpoint() -> FastAPI:
    app = FastAPI()
    seen.clear()

    @app.post("/{path:path}")
    async def answer(path: str, request: Request) -> Response:
        body = await request.json()
        seen.append({"path": path, "authorization": request.headers["authorization"], "body": body})
        if body.get("model") == "too small":
            return JSONResponse({"error": "maximum context length is 8"}, status_code=400)
        if body.get("model") == "busy" and len(seen) < 3:
            return JSONResponse({}, status_code=503, headers={"retry-after": "0"})
        return JSONResponse({"path": path})

    return app


@pytest.fixture
async def client() -> AsyncIterator[NeMoGymAsyncOpenAI]:
    async with running_app(endpoint()) as url:
        yield NeMoGymAsyncOpenAI(base_url=f"{url}/v1/", api_key="secret")
        await close_shared_client()


async def test_each_method_posts_its_arguments_with_the_key(client: NeMoGymAsyncOpenAI) -> None:
    params = NeMoGymResponseCreateParamsNonStreaming(input="hi")
    assert await client.create_response(**params.model_dump(exclude_unset=True)) == {"path": "v1/responses"}
    assert (await client.create_chat_completion(messages=[], model="m"))["path"] == "v1/chat/completions"
    assert (await client.create_tokenize(prompt="hi"))["path"] == "tokenize"
    assert [each["body"] for each in seen] == [{"input": "hi"}, {"messages": [], "model": "m"}, {"prompt": "hi"}]
    assert {each["authorization"] for each in seen} == {"Bearer secret"}


async def test_a_refusal_is_caught_as_ours_and_as_aiohttps(client: NeMoGymAsyncOpenAI) -> None:
    with pytest.raises(ClientResponseError) as caught:
        await client.create_response(model="too small")
    error = caught.value
    assert isinstance(error, BadStatus) and error.status == 400
    assert b"context length" in error.response_content  # type: ignore[attr-defined]


async def test_a_busy_endpoint_is_asked_again(client: NeMoGymAsyncOpenAI) -> None:
    assert await client.create_response(model="busy") == {"path": "v1/responses"}
    assert len(seen) == 3
