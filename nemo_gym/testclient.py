"""A test client: several servers in this process, calling each other through ASGI, without sockets or processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.types import Message, Scope

from nemo_gym.base_resources_server import SimpleResourcesServer
from nemo_gym.base_responses_api_agent import SimpleResponsesAPIAgent
from nemo_gym.errors import AnswerTooLarge, DeadlineExceeded, Unreachable
from nemo_gym.serving.app import SimpleServer
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.http_response import MAX_ANSWER_BYTES, ByteStream, HttpResponse, parse_set_cookies
from nemo_gym.serving.loading import load_server_class
from nemo_gym.serving.routes import refuse_hidden_routes
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.spec import ServerAddress, ServerSpec

Watch = Callable[[str, HttpResponse], None]


class AsgiTransport:
    """Requests as calls of ASGI apps in this process: `http://<name>/path` goes to `apps[name]`.

    `watch(method, answer)` is called with each answer.
    """

    def __init__(self, apps: Mapping[str, FastAPI], watch: Watch | None = None) -> None:
        self.apps, self.watch = apps, watch

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> HttpResponse:
        parts = urlsplit(url)
        app = self.apps.get(parts.netloc)
        if app is None:
            raise Unreachable("no such app", url=url, delivered=False)
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "server": (parts.netloc, 80),
            "client": ("127.0.0.1", 1),
            "root_path": "",
            "path": parts.path or "/",
            "raw_path": (parts.path or "/").encode(),
            "query_string": parts.query.encode(),
            "headers": [(key.lower().encode(), value.encode("latin-1")) for key, value in headers.items()],
        }
        exchange = _Exchange(body or b"")
        try:
            async with asyncio.timeout(timeout_s):
                await app(scope, exchange.receive, exchange.send)
        except TimeoutError as error:
            raise DeadlineExceeded(f"no complete answer within {timeout_s:.3g} s", url=url, delivered=True) from error
        answer = exchange.response(url)
        if len(answer.body) > max_bytes:
            message = f"the answer has more than {max_bytes} bytes, which is the limit"
            raise AnswerTooLarge(message, url=url, delivered=True, status=answer.status)
        if self.watch is not None:
            self.watch(method, answer)
        return answer

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[ByteStream]:
        """The whole body as one piece."""
        yield _OnePiece(await self.send(method, url, body, headers, timeout_s))

    async def close(self) -> None:
        """Nothing is held open."""


class _OnePiece:
    def __init__(self, response: HttpResponse) -> None:
        self.status, self.headers, self._body = response.status, response.headers, response.body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


class _Exchange:
    """The two channels of one ASGI request."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []

    async def receive(self) -> Message:
        if self._body is None:
            await asyncio.Event().wait()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message["headers"])
        else:
            self._chunks.append(message.get("body", b""))

    def response(self, url: str) -> HttpResponse:
        headers = {key.decode().lower(): value.decode("latin-1") for key, value in self._headers}
        set_cookies = [value.decode("latin-1") for key, value in self._headers if key.lower() == b"set-cookie"]
        return HttpResponse(url, self._status, headers, b"".join(self._chunks), parse_set_cookies(set_cookies))


class InProcessGym:
    """Servers in this process, addressed by instance name. Use as `async with InProcessGym() as gym:`.

    `client` is a `ServerClient` that knows them all; `servers` and `apps` hold them by name.
    """

    def __init__(self, watch: Watch | None = None) -> None:
        """`watch(method, answer)` is called with each answer to `client`."""
        self.apps: dict[str, FastAPI] = {}
        self.servers: dict[str, SimpleServer] = {}
        self.client = ServerClient({}, HttpClient(AsgiTransport(self.apps, watch)))
        self._num_episodes = 0

    def add(self, name: str, server: type[SimpleServer] | Path, **settings: Any) -> SimpleServer:
        """Add a server: its class, or the folder that implements it; `settings` is its block of the configuration,
        with the `entrypoint` of a folder that has several.

        Raises `ConfigError` where the settings are wrong, `LaunchError` for a route that hides behind another.
        """
        entrypoint = str(settings.get("entrypoint", "app.py"))
        server_class = load_server_class(server.resolve(), entrypoint) if isinstance(server, Path) else server
        implementation = server.name if isinstance(server, Path) else server.__name__
        spec = ServerSpec(
            name=name,
            server_type=_server_type(server_class),
            implementation=implementation,
            folder=str(server) if isinstance(server, Path) else ".",
            entrypoint=entrypoint,
            settings=settings,
            source="test",
            directory={},
            run_id="test",
            session_secret="test",
        )
        built = server_class.from_spec(spec, self.client)
        self.servers[name] = built
        self.apps[name] = built.setup_webserver()
        refuse_hidden_routes(self.apps[name], Path.cwd())
        self.client.directory[name] = ServerAddress(
            name=name, server_type=spec.server_type, implementation=implementation, urls=(f"http://{name}",)
        )
        return built

    def episode(self, name: str, row: dict[str, Any]) -> EpisodeUnderTest:
        """An episode of the environment `name`, in a session of its own."""
        self._num_episodes += 1
        return EpisodeUnderTest(self.client, name, row, f"episode-{self._num_episodes}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self.servers.values():
            await server.shutdown()


class EpisodeUnderTest:
    """One episode of an environment with turns, call by call. What is answered with 400 or above raises `BadStatus`."""

    def __init__(self, client: ServerClient, server_name: str, row: dict[str, Any], session_id: str) -> None:
        self._client, self._server_name, self._row = client, server_name, row
        self._headers = {"x-session-id": session_id}

    async def reset(self) -> dict[str, Any]:
        return await self._post("/reset", self._row)

    async def step(self, said: str | Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A turn of the policy: text is one message, else output items."""
        return await self._post("/step", {**self._row, "response": _response(said)})

    async def verify(self, said: str | Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        return await self._post("/verify", {**self._row, "response": _response(said)})

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._client.post(self._server_name, path, body, headers=self._headers)
        answer.raise_for_status()
        parsed: dict[str, Any] = answer.parse()
        return parsed


def _response(said: str | Sequence[dict[str, Any]]) -> dict[str, Any]:
    content = [{"type": "output_text", "text": said}]
    items = [{"type": "message", "role": "assistant", "content": content}] if isinstance(said, str) else list(said)
    return {"id": "resp_test", "object": "response", "created_at": 0, "model": "test", "output": items}


def _server_type(server_class: type[SimpleServer]) -> str:

    if issubclass(server_class, SimpleResourcesServer):
        return "resources_servers"
    return "responses_api_agents" if issubclass(server_class, SimpleResponsesAPIAgent) else "responses_api_models"
