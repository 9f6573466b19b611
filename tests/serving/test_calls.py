"""Functions over answers, as agents written for NeMo Gym and for aiohttp call them."""

from __future__ import annotations

import json
import pickle
from unittest.mock import AsyncMock, MagicMock

import aiohttp
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nemo_gym.errors import BadStatus
from nemo_gym.serving.calls import close_shared_client, get_response_json, raise_for_status, request
from nemo_gym.serving.http_response import HttpResponse
from tests.local_app import running_app


def echo() -> FastAPI:
    app = FastAPI()

    @app.post("/echo")
    async def answer(request: Request) -> Response:
        seen = {
            "query": dict(request.query_params),
            "cookies": request.cookies,
            "body": (await request.body()).decode(),
        }
        return JSONResponse(seen, headers={"set-cookie": "session=abc; Path=/"})

    @app.get("/refused")
    async def refuse() -> Response:
        return JSONResponse({"why": "no"}, status_code=403)

    return app


async def test_a_request_by_url_carries_query_cookies_and_body() -> None:
    async with running_app(echo()) as url:
        answer = await request("POST", f"{url}/echo?a=1", params={"b": "2 3"}, cookies={"c": "d"}, json={"e": 1})
        assert await get_response_json(answer) == {
            "query": {"a": "1", "b": "2 3"},
            "cookies": {"c": "d"},
            "body": '{"e":1}',
        }
        assert {name: cookie.value for name, cookie in answer.cookies.items()} == {"session": "abc"}
        assert (await request("POST", f"{url}/echo", data=b"raw")).parse()["body"] == "raw"
        await close_shared_client()


async def test_an_answer_of_aiohttp_is_read_and_refused_alike() -> None:
    async with running_app(echo()) as url, aiohttp.ClientSession() as session:
        async with session.post(f"{url}/echo") as answer:
            await raise_for_status(answer)
            assert (await get_response_json(answer))["body"] == ""
        async with session.get(f"{url}/refused") as answer:
            with pytest.raises(aiohttp.ClientResponseError) as caught:
                await raise_for_status(answer)
    assert json.loads(caught.value.response_content) == {"why": "no"}  # type: ignore[attr-defined]


async def test_a_mocked_answer_is_read() -> None:
    await raise_for_status(MagicMock(ok=True))
    assert await get_response_json(MagicMock(read=AsyncMock(return_value='{"a": 1}'))) == {"a": 1}


async def test_a_refusal_can_be_caught_in_both_words_and_travels_between_processes() -> None:
    answer = HttpResponse("http://a/b", 400, {}, b"maximum context length")
    with pytest.raises(aiohttp.ClientResponseError) as caught:
        await raise_for_status(answer)
    again = pickle.loads(pickle.dumps(caught.value))
    for error in (caught.value, again):
        assert isinstance(error, BadStatus) and error.status == 400 and error.delivered
        assert error.response_content == b"maximum context length"
        assert str(error) == "http://a/b: HTTP 400: maximum context length"
