"""A test client: several servers in this process, calling each other through ASGI, without sockets or processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from fastapi import FastAPI

from nemo_gym.base_resources_server import SimpleResourcesServer
from nemo_gym.base_responses_api_agent import SimpleResponsesAPIAgent
from nemo_gym.serving.app import SimpleServer
from nemo_gym.serving.asgi_transport import AsgiTransport, Watch
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.loading import load_server_class
from nemo_gym.serving.routes import refuse_hidden_routes
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.spec import ServerAddress, ServerSpec


class InProcessGym:
    """Servers in this process, addressed by instance name. Use as `async with InProcessGym() as gym:`.

    `client` is a `ServerClient` that knows them all; `servers` and `apps` hold them by name.
    """

    def __init__(self, watch: Watch | None = None) -> None:
        """`watch(method, answer)` is called with each answer to `client`."""
        self.apps: dict[str, FastAPI] = {}
        self.servers: dict[str, SimpleServer] = {}
        self.client = ServerClient({}, HttpClient(AsgiTransport(self.apps, watch=watch)))
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
