"""For tests: endpoints on real sockets, which can refuse, fail and die, and the model servers in front of them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from nemo_gym.serving.app import SimpleServer
from nemo_gym.serving.process import serve
from nemo_gym.serving.spec import ServerSpec

Json = dict[str, Any]
NEVER = 0
"""Status of an answer that does not come."""
Answer = Callable[[Json], Response]


class FakeEndpoint:
    """Answers every POST by `answer`, which gets the request's JSON, and remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.url = ""
        self.asked: list[Json] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.gone = asyncio.Event()
        """Set when a client stopped waiting for an answer that does not come."""

    async def handle(self, request: Request) -> Response:
        """One request."""
        body = orjson.loads(await request.body() or b"{}")
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        self.paths.append(request.url.path)
        answer = self.answer(body)
        if answer.status_code == NEVER:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            self.gone.set()
        return answer


class Stage:
    """Makes endpoints and model servers; use as `async with Stage() as stage:`, which ends them all."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._running: dict[str, AsyncExitStack] = {}

    async def __aenter__(self) -> Stage:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def serve(self, app: ASGIApp) -> str:
        """URL of an app."""
        listen = free_listener()
        url = f"http://127.0.0.1:{listen.getsockname()[1]}"
        own = self._running[url] = await self._stack.enter_async_context(AsyncExitStack())
        await own.enter_async_context(serving(app, listen))
        return url

    async def endpoint(self, answer: Answer) -> FakeEndpoint:
        """An endpoint whose `url` ends in `/v1`."""
        endpoint = FakeEndpoint(answer)
        endpoint.url = (
            await self.serve(Starlette(routes=[Route("/{path:path}", endpoint.handle, methods=["POST"])])) + "/v1"
        )
        return endpoint

    async def kill(self, url: str) -> None:
        """From now on connections to what `serve` or `endpoint` made are refused."""
        await self._running.pop(url.removesuffix("/v1")).aclose()

    async def model(self, server: type[SimpleServer], **settings: Any) -> str:
        """URL of a model server with these settings."""
        spec = ServerSpec(
            name="policy_model",
            server_type="responses_api_models",
            implementation=server.__name__,
            folder=".",
            entrypoint="app.py",
            settings=settings,
            source="test",
            directory={},
            run_id="test",
            session_secret="test",
        )
        built = server.from_spec(spec)
        app = built.setup_webserver()
        await built.startup()
        return await self.serve(app)


def free_listener() -> socket.socket:
    """A socket on a free port of this machine."""
    listen = socket.socket(proto=socket.IPPROTO_TCP)
    listen.bind(("127.0.0.1", 0))
    return listen


@asynccontextmanager
async def serving(app: ASGIApp, listen: socket.socket) -> AsyncIterator[None]:
    """Serves until the block ends; then nobody answers at that address."""
    ready = asyncio.Event()
    with listen:
        task = asyncio.create_task(serve(app, listen, on_ready=ready.set, handles_signals=False))
        await ready.wait()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
