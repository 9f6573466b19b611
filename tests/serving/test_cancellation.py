"""A handler whose client has gone is cancelled, whatever it waits for; one whose client waits is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import Message, Scope

from nemo_gym.serving import cancellation
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.json_route import JsonRoute
from nemo_gym.upstream.fake_endpoint import Stage

PATIENCE_S = 10.0


class Slow:
    """A server with a handler that waits, and a record of what became of it."""

    def __init__(self) -> None:
        self.begun, self.go_on, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.app = FastAPI()
        self.app.router.route_class = JsonRoute
        self.app.post("/plain")(self.plain)
        self.app.post("/by_query")(self.by_query)

    async def plain(self, request: Request, body: dict[str, str]) -> str:
        return await self._answer()

    async def by_query(self, body: dict[str, str], times: int = 1) -> str:
        """Served by FastAPI, as it has a query parameter."""
        return await self._answer()

    async def _answer(self) -> str:
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "done"


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
async def url(slow: Slow) -> AsyncIterator[str]:
    async with Stage() as stage:
        yield await stage.serve(slow.app)


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


@pytest.mark.parametrize("path", ["/plain", "/by_query"])
@pytest.mark.parametrize("watched_already", [True, False])
async def test_a_handler_ends_when_its_client_leaves(
    path: str, watched_already: bool, slow: Slow, url: str, http: HttpClient
) -> None:
    call = asyncio.create_task(http.request("POST", url + path, json={}))
    async with asyncio.timeout(PATIENCE_S):
        await slow.begun.wait()
        if watched_already:
            await asyncio.sleep(1.2 * cancellation.WATCHED_AFTER_S)
        call.cancel()
        await slow.cancelled.wait()


async def test_a_client_that_waits_gets_its_answer_however_late(slow: Slow, url: str, http: HttpClient) -> None:
    call = asyncio.create_task(http.request("POST", url + "/plain", json={}))
    await slow.begun.wait()
    await asyncio.sleep(1.2 * cancellation.WATCHED_AFTER_S)
    slow.go_on.set()
    assert (await call).parse() == "done"
    assert not slow.cancelled.is_set()


async def served(app: FastAPI, receive: Callable[[], Awaitable[Message]]) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/plain", "query_string": b"", "headers": []}
    await app(scope, receive, send)
    return sent


def connection(gone: asyncio.Event) -> Callable[[], Awaitable[Message]]:
    """A client that sends its body, and leaves when told to."""
    messages = iter([{"type": "http.request", "body": b"{}"}])

    async def receive() -> Message:
        message = next(messages, None)
        if message is None:
            await gone.wait()
        return message or {"type": "http.disconnect"}

    return receive


async def test_the_task_that_served_it_goes_on_as_if_it_had_never_been_cancelled(slow: Slow) -> None:
    gone = asyncio.Event()
    gone.set()
    [start, _] = await served(slow.app, connection(gone))
    assert start["status"] == 499
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


async def test_a_server_that_is_stopped_is_not_taken_for_a_client_that_left(slow: Slow) -> None:
    serving = asyncio.create_task(served(slow.app, connection(asyncio.Event())))
    await slow.begun.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
