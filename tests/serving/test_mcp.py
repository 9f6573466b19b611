"""Tools over MCP: the SDK's client plays episodes against real servers, to the reward that HTTP would give."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from pydantic import BaseModel, Field

from nemo_gym import base_resources_server
from nemo_gym.base_resources_server import BaseResourcesServerConfig, SimpleResourcesServer
from nemo_gym.errors import ConfigError
from nemo_gym.serving.app import SimpleServer
from nemo_gym.serving.loading import load_server_class
from nemo_gym.serving.process import serve
from nemo_gym.serving.spec import ServerSpec
from tests.rows import response_saying

ROOT = Path(__file__).resolve().parents[2]
COUNTER = ROOT / "resources_servers" / "example_session_state_mgmt"
SYNONYMS = ROOT / "resources_servers" / "example_multi_step"


class Piece(BaseModel):
    letter: str
    then: Piece | None = None


class BuildRequest(BaseModel):
    first: Piece
    times: Annotated[int, Field(ge=1, description="How often.")] = 1


class ManyToolsServer(SimpleResourcesServer):
    config: BaseResourcesServerConfig

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/build")(self.build)
        app.post("/anything")(self.anything)
        app.post("/two_bodies")(self.two_bodies)
        app.post("/break")(self.break_down)
        app.post("/refuse")(self.refuse)
        app.post("/step")(self.step)
        app.get("/look")(self.look)
        app.post("/things/{name}")(self.thing)
        more = APIRouter()
        more.post("/from_a_router")(self.anything)
        app.include_router(more)
        return app

    async def build(self, body: BuildRequest) -> str:
        """Builds a word.

        Letter by letter.
        """
        return body.first.letter * body.times

    async def anything(self, body: dict[str, Any]) -> dict[str, Any]:
        return body

    async def two_bodies(self, one: Piece, two: Piece) -> str:
        return one.letter + two.letter

    async def break_down(self) -> None:
        raise RuntimeError("out of paint")

    async def refuse(self, request: Request) -> None:
        raise HTTPException(409, f"not now, {request.session['session_id']}")

    async def step(self, body: dict[str, Any]) -> None: ...

    async def look(self) -> None: ...

    async def thing(self, name: str) -> None: ...


def spec_of(**settings: object) -> ServerSpec:
    return ServerSpec(
        name="env",
        server_type="resources_servers",
        implementation="env",
        folder=".",
        entrypoint="app.py",
        settings=settings,
        source="env.yaml",
        directory={},
        run_id="test",
        session_secret="secret",
    )


@asynccontextmanager
async def serving(server_class: type[SimpleServer]) -> AsyncIterator[httpx2.AsyncClient]:
    """That server, its tools offered over MCP, on a real socket; a client for its plain routes."""
    app = server_class.from_spec(spec_of(mcp=True)).setup_webserver()
    ready = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listen:
        task = asyncio.ensure_future(serve(app, listen, on_ready=ready.set, handles_signals=False))
        await ready.wait()
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{listen.getsockname()[1]}") as http:
            yield http
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def mcp_client(place: dict[str, Any], *, mode: str = "auto") -> AsyncIterator[Client]:
    """The SDK's client, connected as the `mcp` field of a `/seed_session` answer says."""
    async with (
        httpx2.AsyncClient(headers=place["headers"]) as http,
        Client(streamable_http_client(place["url"], http_client=http), mode=mode) as client,
    ):
        yield client


async def seed(http: httpx2.AsyncClient, row: dict[str, Any]) -> dict[str, Any]:
    http.cookies.clear()
    answer = await http.post("/seed_session", json=row)
    assert answer.status_code == 200
    place: dict[str, Any] = answer.json()["mcp"]
    return place


async def call(client: Client, name: str, **arguments: object) -> Any:
    """The result of a call that must go well, from its JSON text."""
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content
    return json.loads(result.content[0].text)


async def failing_call(client: Client, name: str, **arguments: object) -> str:
    result = await client.call_tool(name, arguments)
    assert result.is_error
    return str(result.content[0].text)


def example_rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "data" / "example.jsonl").read_text().splitlines()]


async def verify(http: httpx2.AsyncClient, row: dict[str, Any], place: dict[str, Any], **response: Any) -> float:
    http.cookies.clear()
    body = {**row, "response": {**response_saying("Done."), **response}}
    answer = await http.post("/verify", json=body, headers=place["headers"])
    assert answer.status_code == 200, answer.text
    return float(answer.json()["reward"])


async def add_up(http: httpx2.AsyncClient, row: dict[str, Any], *, mode: str = "auto", extra: int = 0) -> float:
    """The reward of an episode in which the counter ends at the row's value, plus `extra`."""
    place = await seed(http, row)
    async with mcp_client(place, mode=mode) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {"increment_counter", "get_counter_value"}
        await call(client, "increment_counter", count=row["expected_count"] - row["initial_count"])
        await call(client, "increment_counter", count=extra)
        assert await call(client, "get_counter_value") == {"count": row["expected_count"] + extra}
    return await verify(http, row, place)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_mcp_client_drives_an_episode_to_its_reward(mode: str) -> None:
    [row, *_] = example_rows(COUNTER)
    async with serving(load_server_class(COUNTER, "app.py")) as http:
        assert await add_up(http, row, mode=mode) == 1.0
        assert await add_up(http, row, mode=mode, extra=1) == 0.0


async def test_what_the_tools_return_is_what_the_episode_goes_on_with() -> None:
    [row, *_] = example_rows(SYNONYMS)
    async with serving(load_server_class(SYNONYMS, "app.py")) as http:
        place = await seed(http, row)
        async with mcp_client(place) as client:
            values = [
                (await call(client, "get_synonym_value", synonym=word))["synonym_value"]
                for word in row["expected_synonyms"]
            ]
            await call(client, "extract_synonym_values", synonym_values=values)
        arguments = json.dumps({"synonym_values": values})
        last = {"type": "function_call", "call_id": "c", "name": "extract_synonym_values", "arguments": arguments}
        assert await verify(http, row, place, output=[last]) == 1.0


async def test_sessions_side_by_side_do_not_mix() -> None:
    rows = example_rows(COUNTER) * 4
    async with serving(load_server_class(COUNTER, "app.py")) as http:
        places = [await seed(http, row) for row in rows]
        assert len({place["headers"]["X-Session-ID"] for place in places}) == len(rows)

        async def count_up(row: dict[str, Any], place: dict[str, Any]) -> None:
            async with mcp_client(place) as client:
                for _ in range(3):
                    await call(client, "increment_counter", count=row["expected_count"])
                    await call(client, "increment_counter", count=-row["expected_count"])
                await call(client, "increment_counter", count=row["expected_count"] - row["initial_count"])

        await asyncio.gather(*(count_up(row, place) for row, place in zip(rows, places, strict=True)))
        assert {await verify(http, row, place) for row, place in zip(rows, places, strict=True)} == {1.0}


async def test_the_sessions_cookie_serves_as_well_as_the_header() -> None:
    [row, *_] = example_rows(COUNTER)
    async with serving(load_server_class(COUNTER, "app.py")) as http:
        place = await seed(http, row)
        cookies = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
        async with mcp_client({"url": place["url"], "headers": {"cookie": cookies}}) as client:
            assert await call(client, "get_counter_value") == {"count": row["initial_count"]}


@pytest.mark.parametrize("headers", [{}, {"X-Session-ID": "0-nobody"}, {"cookie": "ng_session_env=0-forged.abc"}])
async def test_a_call_without_an_open_session_is_refused(headers: dict[str, str]) -> None:
    [row, *_] = example_rows(COUNTER)
    async with serving(load_server_class(COUNTER, "app.py")) as http:
        place = await seed(http, row)
        async with mcp_client({"url": place["url"], "headers": headers}) as client:
            assert len((await client.list_tools()).tools) == 2
            assert "POST /seed_session" in await failing_call(client, "increment_counter", count=1)


async def test_a_call_after_verify_is_refused() -> None:
    [row, *_] = example_rows(COUNTER)
    async with serving(load_server_class(COUNTER, "app.py")) as http:
        place = await seed(http, row)
        await verify(http, row, place)
        async with mcp_client(place) as client:
            assert "no open session" in await failing_call(client, "get_counter_value")


async def test_the_authors_post_routes_are_the_tools_and_no_other() -> None:
    async with serving(ManyToolsServer) as http, mcp_client(await seed(http, {})) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"build", "anything", "two_bodies", "break", "refuse", "from_a_router"}
        assert tools["build"].description == "Builds a word.\n\nLetter by letter."
        assert all(tool.input_schema["type"] == "object" for tool in tools.values())
        schema = tools["build"].input_schema
        assert schema["required"] == ["first"]
        assert schema["properties"]["times"]["description"] == "How often."
        assert schema["properties"]["first"] == {"$ref": "#/$defs/Piece"}
        assert set(schema["$defs"]) == {"Piece"}
        assert set(tools["two_bodies"].input_schema["required"]) == {"one", "two"}
        one, two = {"letter": "o"}, {"letter": "k", "then": {"letter": "!"}}
        assert await call(client, "build", first=two, times=3) == "kkk"
        assert await call(client, "two_bodies", one=one, two=two) == "ok"
        assert await call(client, "anything", of={"any": ["kind", None, 1.5]}) == {"of": {"any": ["kind", None, 1.5]}}


async def test_what_goes_wrong_comes_as_a_tool_error_with_text() -> None:
    async with serving(ManyToolsServer) as http:
        place = await seed(http, {})
        async with mcp_client(place) as client:
            assert "RuntimeError: out of paint" in await failing_call(client, "break")
            assert f"not now, {place['headers']['X-Session-ID']}" in await failing_call(client, "refuse")
            assert "first.letter: Field required" in await failing_call(client, "build", first={})
            assert "did you mean `build`?" in await failing_call(client, "biuld")
            assert "there is no tool `verify`" in await failing_call(client, "verify", reward=1)
            assert "there is no tool `things/x`" in await failing_call(client, "things/x")


async def test_a_server_without_the_flag_has_no_mcp() -> None:
    app = ManyToolsServer.from_spec(spec_of()).setup_webserver()
    assert all("mcp" not in str(middleware.cls).lower() for middleware in app.user_middleware)


@pytest.mark.parametrize(("installed", "words"), [(None, "is not installed"), ("1.30.0", "1.30.0 is too old")])
def test_the_flag_without_the_sdk_is_a_mistake_in_the_configuration_that_names_the_extra(
    installed: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(package: str) -> str:
        if installed is None:
            raise PackageNotFoundError(package)
        return installed

    monkeypatch.setattr(base_resources_server, "version", version)
    with pytest.raises(ConfigError) as caught:
        ManyToolsServer.from_spec(spec_of(mcp=True))
    [problem] = caught.value.problems
    assert (problem.file, problem.key) == ("env.yaml", "env.resources_servers.env.mcp")
    assert words in problem.message and 'pip install "nemo-gym[mcp]"' in problem.message
