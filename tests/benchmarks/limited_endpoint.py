"""A model endpoint of known capacity: `python -m tests.benchmarks.limited_endpoint`, of the Responses API.

`PUT /settings` sets what it can do, `GET /counts` tells what it did. It writes its port to stdout in one line, and ends
when its stdin is closed.
"""

from __future__ import annotations

import asyncio
import random
import socket
import sys
import time
from dataclasses import asdict, dataclass
from typing import Literal

import orjson
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Kind = Literal["refuses", "rated", "queues"]
BURST_S = 1.0
_TEXT = {"type": "output_text", "text": "4", "annotations": []}
_MESSAGE = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [_TEXT]}
_ANSWER = orjson.dumps({"id": "r", "object": "response", "created_at": 1, "model": "m", "output": [_MESSAGE]})


@dataclass(frozen=True)
class Limits:
    """What it can do."""

    kind: Kind = "refuses"
    """Beyond its capacity it refuses (429), refuses by the number a second, or has requests wait."""
    capacity: int = 128
    """Requests at a time."""
    latency_s: float = 0.5
    """In the mean; exponentially distributed."""
    retry_after_s: float | None = None
    """What refusals ask for."""

    @property
    def most_a_second(self) -> float:
        return self.capacity / self.latency_s


@dataclass
class Counts:
    """What it did since it was started."""

    answered: int = 0
    refused: int = 0
    busy_s: float = 0.0
    """Seconds of work on requests, added up."""


class LimitedEndpoint:
    """Its handlers."""

    def __init__(self) -> None:
        self.limits, self.counts = Limits(), Counts()
        self._busy = 0
        self._free = asyncio.Condition()
        self._allowed, self._at = 0.0, time.monotonic()
        self._rng = random.Random(0)

    async def answer(self, request: Request) -> Response:
        """One model call."""
        await request.body()
        if not self._takes():
            self.counts.refused += 1
            seconds = self.limits.retry_after_s
            return Response(status_code=429, headers={} if seconds is None else {"retry-after": f"{seconds:g}"})
        async with self._free:
            await self._free.wait_for(lambda: self.limits.kind != "queues" or self._busy < self.limits.capacity)
            self._busy += 1
        began = time.monotonic()
        try:
            await asyncio.sleep(self._rng.expovariate(1 / self.limits.latency_s))
        finally:
            self.counts.busy_s += time.monotonic() - began
            async with self._free:
                self._busy -= 1
                self._free.notify()
        self.counts.answered += 1
        return Response(_ANSWER, media_type="application/json")

    def _takes(self) -> bool:
        limits = self.limits
        if limits.kind == "refuses":
            return self._busy < limits.capacity
        if limits.kind == "queues":
            return True
        now = time.monotonic()
        gained = (now - self._at) * limits.most_a_second
        self._allowed, self._at = min(BURST_S * limits.most_a_second, self._allowed + gained), now
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True

    async def settings(self, request: Request) -> Response:
        self.limits = Limits(**orjson.loads(await request.body()))
        return Response()

    async def tell(self, _: Request) -> Response:
        return Response(orjson.dumps(asdict(self.counts)), media_type="application/json")


async def serve() -> None:
    """Answer until stdin is closed."""
    endpoint = LimitedEndpoint()
    routes = [
        Route("/settings", endpoint.settings, methods=["PUT"]),
        Route("/counts", endpoint.tell),
        Route("/v1/responses", endpoint.answer, methods=["POST"]),
    ]
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        Starlette(routes=routes), http="httptools", ws="none", access_log=False, log_level="warning"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
