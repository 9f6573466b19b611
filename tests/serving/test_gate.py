"""The gate: who carries no token, or sends too much, is refused before the app sees anything."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nemo_gym.serving.gate import Gate
from tests.local_app import running_app

TOKEN = "a-token-of-some-run"
REFUSED = [
    {},
    {"authorization": TOKEN},
    {"authorization": f"Basic {TOKEN}"},
    {"authorization": "Bearer"},
    {"authorization": f"Bearer {TOKEN}x"},
    {"authorization": f"Bearer {TOKEN[:-1]}"},
    {"x-api-key": ""},
    {"x-api-key": "Bearer " + TOKEN},
    {"x-session-id": TOKEN},
    {"cookie": f"authorization={TOKEN}"},
]
TAKEN = [
    {"authorization": f"Bearer {TOKEN}"},
    {"Authorization": f"bearer {TOKEN}"},
    {"x-api-key": TOKEN},
    {"authorization": "Bearer of-somebody-else", "x-api-key": TOKEN},
]
PATHS = ["/verify", "/metrics", "/openapi.json", "/docs", "/absent", "/%2e%2e/", "/%00", "/x/%2e%2e/"]


def app_behind_gate(**settings: object) -> Gate:
    async def seen(request: Request) -> Response:
        return JSONResponse(len(await request.body()))

    methods = ["GET", "POST", "OPTIONS"]
    app = Starlette(routes=[Route("/", seen, methods=methods), Route("/{path:path}", seen, methods=methods)])
    return Gate(app, **{"token": TOKEN, "max_body_bytes": 1000, **settings})


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with running_app(app_behind_gate()) as url, httpx.AsyncClient(base_url=url) as client:
        yield client


@pytest.mark.parametrize("headers", REFUSED, ids=str)
async def test_a_request_without_the_token_is_told_where_to_get_it(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await http.post("/verify", headers=headers, json={})
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    message = answer.json()["error"]["message"]
    assert ".nemo_gym/latest/authorization" in message and "open_endpoints" in message and TOKEN not in message


@pytest.mark.parametrize("headers", TAKEN, ids=str)
async def test_the_token_opens_it_as_openais_and_anthropics_clients_send_it(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await http.post("/verify", headers=headers, content=b"12345")).json() == 5


async def test_every_path_and_method_but_get_liveness_wants_the_token(http: httpx.AsyncClient) -> None:
    for path in PATHS:
        for method in ("GET", "POST", "OPTIONS", "HEAD", "DELETE"):
            assert (await http.request(method, path)).status_code == 401, (method, path)
    assert (await http.get("/")).status_code == 200
    assert (await http.post("/")).status_code == 401


async def test_an_open_server_answers_everybody() -> None:
    async with running_app(app_behind_gate(token=None)) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.post("/verify", content=b"1")).json() == 1


async def test_a_body_beyond_the_limit_is_refused_whether_it_tells_its_size_or_not(http: httpx.AsyncClient) -> None:
    http.headers.update(TAKEN[0])

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    assert (await http.post("/verify", content=b"x" * 1000)).json() == 1000
    told = await http.post("/verify", content=b"x" * 1001)
    assert told.status_code == 413 and "more than 1000 bytes" in told.json()["error"]["message"]
    untold = await http.post("/verify", content=pieces())
    assert untold.status_code == 413 and "more than 1000 bytes" in untold.text
    assert (await http.post("/verify", content=b"x")).json() == 1, "the connection goes on"
