"""A fake OpenAI-compatible endpoint on a real socket, which can refuse, fail and die."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nemo_gym.serving.process import serve
from nemo_gym.serving.spec import ServerSpec
from responses_api_models.openai_model.app import OpenAIModel

Json = dict[str, Any]
NEVER = 0
"""Status of an answer that does not come."""
Answer = Callable[[Json], Response]


class Endpoint:
    """Answers `POST /v1/...` by `answer` and remembers what it was asked."""

    def __init__(self, url: str, answer: Answer) -> None:
        self.url, self.answer = url, answer
        self.asked: list[Json] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.gone = asyncio.Event()
        """Set when a client stopped waiting for an answer that does not come."""

    async def handle(self, request: Request) -> Response:
        body = orjson.loads(await request.body())
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        self.paths.append(request.url.path)
        answer = self.answer(body)
        if answer.status_code == NEVER:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            self.gone.set()
        return answer


def free_listener() -> socket.socket:
    listen = socket.socket(proto=socket.IPPROTO_TCP)
    listen.bind(("127.0.0.1", 0))
    return listen


@asynccontextmanager
async def serving(app: Any, listen: socket.socket) -> AsyncIterator[None]:
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


class Stage:
    """Makes endpoints and the model server in front of them; ends them all after the test."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._running: dict[str, AsyncExitStack] = {}

    async def endpoint(self, answer: Answer) -> Endpoint:
        listen = free_listener()
        endpoint = Endpoint(f"http://127.0.0.1:{listen.getsockname()[1]}/v1", answer)
        own = await self._stack.enter_async_context(AsyncExitStack())
        self._running[endpoint.url] = own
        app = Starlette(routes=[Route("/v1/{path:path}", endpoint.handle, methods=["POST"])])
        await own.enter_async_context(serving(app, listen))
        return endpoint

    async def kill(self, endpoint: Endpoint) -> None:
        """From now on connections to it are refused."""
        await self._running.pop(endpoint.url).aclose()

    async def model(self, urls: str | list[str], **settings: Any) -> str:
        """URL of an `openai_model` in front of those endpoints."""
        spec = ServerSpec(
            name="policy_model",
            server_type="responses_api_models",
            implementation="openai_model",
            folder=".",
            entrypoint="app.py",
            settings={"openai_base_url": urls, "openai_api_key": "sk-secret", "openai_model": "real", **settings},
            source="test",
            directory={},
            run_id="test",
            session_secret="test",
        )
        listen = free_listener()
        server = OpenAIModel.from_spec(spec)
        await self._stack.enter_async_context(serving(server.setup_webserver(), listen))
        return f"http://127.0.0.1:{listen.getsockname()[1]}"


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        yield Stage(stack)
