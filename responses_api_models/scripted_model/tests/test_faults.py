"""Faults of the scripted model, over real connections: each looks to the client as it does from a real engine."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from nemo_gym.errors import BadBody, ConnectionLost, DeadlineExceeded
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.http_response import HttpResponse
from nemo_gym.serving.process import serve
from nemo_gym.serving.spec import ServerSpec
from responses_api_models.scripted_model.app import ScriptedModel

BODY = {"input": "hello"}


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[str]:
    """The URL of a scripted model that answers on a real socket."""
    spec = ServerSpec(
        name="policy",
        server_type="responses_api_models",
        implementation="scripted_model",
        folder=".",
        entrypoint="app.py",
        settings={"policy": "json:dumps", "environment": [], **settings},
        source="test",
        directory={},
        run_id="test",
        session_secret="test",
    )
    # The protocol is named because asyncio sends small packets at once only on sockets that say they are TCP.
    with socket.socket(proto=socket.IPPROTO_TCP) as listen:
        listen.bind(("127.0.0.1", 0))
        ready = asyncio.Event()
        app = ScriptedModel.from_spec(spec).setup_webserver()
        task = asyncio.create_task(serve(app, listen, on_ready=ready.set, handles_signals=False))
        await ready.wait()
        try:
            yield f"http://127.0.0.1:{listen.getsockname()[1]}"
        finally:
            task.cancel()
            await asyncio.wait([task])


async def call(http: HttpClient, url: str, timeout_s: float = 20.0) -> HttpResponse:
    return await http.request("POST", f"{url}/v1/responses", json=BODY, timeout_s=timeout_s)


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


async def test_http_500_and_http_429_come_as_json_and_with_retry_after(http: HttpClient) -> None:
    async with served(faults={"http_500": 1.0}) as url:
        assert (await call(http, url)).status == 500
    async with served(faults={"http_429": 1.0, "retry_after_s": 7}) as url:
        answer = await call(http, url)
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")


async def test_malformed_json_is_a_complete_answer_that_is_no_json(http: HttpClient) -> None:
    async with served(faults={"malformed_json": 1.0}) as url:
        answer = await call(http, url)
        assert answer.status == 200
        with pytest.raises(BadBody):
            answer.parse()


@pytest.mark.parametrize("fault", ["truncated", "reset"])
async def test_a_dropped_connection_is_lost_and_the_next_request_works(http: HttpClient, fault: str) -> None:
    async with served(faults={fault: 1.0}) as url:
        for _ in range(2):
            with pytest.raises(ConnectionLost):
                await call(http, url)
        assert (await http.request("GET", f"{url}/")).status == 200


async def test_a_hanging_answer_lasts_until_the_client_gives_up(http: HttpClient) -> None:
    async with served(faults={"hang": 1.0}) as url:
        with pytest.raises(DeadlineExceeded):
            await call(http, url, timeout_s=0.2)


async def test_reasoning_only_and_empty_answers_are_well_formed(http: HttpClient) -> None:
    async with served(faults={"reasoning_only": 1.0}) as url:
        assert [item["type"] for item in (await call(http, url)).parse()["output"]] == ["reasoning"]
    async with served(faults={"empty": 1.0}) as url:
        assert (await call(http, url)).parse()["output"] == []


async def test_faults_strike_at_their_rates_and_the_same_calls_in_every_run(http: HttpClient) -> None:
    async def statuses(seed: int) -> list[int]:
        settings = {"environment": "calendar", "policy": "oracle", "faults": {"http_500": 0.3}, "seed": seed}
        async with served(**settings) as url:
            return [(await call(http, url)).status for _ in range(200)]

    first = await statuses(1)
    assert Counter(first)[500] == pytest.approx(60, abs=25)
    assert first == await statuses(1)
