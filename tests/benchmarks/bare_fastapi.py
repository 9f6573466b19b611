"""A bare FastAPI app with the routes of a trivial resources server: `python -m tests.benchmarks.bare_fastapi`.

`/seed_session` and `/verify` as anyone would write them, with the same types; `/unchecked/...` the same with bodies
that are only known to be objects. No sessions, no metrics, no errors as JSON, no token. It writes its port to stdout in
one line, and ends when its stdin is closed.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import warnings
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic.warnings import UnsupportedFieldAttributeWarning

from nemo_gym.schemas.episode import (
    BaseSeedSessionRequest,
    BaseSeedSessionResponse,
    BaseVerifyRequest,
    BaseVerifyResponse,
)

app = FastAPI()


@app.post("/seed_session")
async def seed_session(body: BaseSeedSessionRequest) -> BaseSeedSessionResponse:
    return BaseSeedSessionResponse()


@app.post("/verify")
async def verify(body: BaseVerifyRequest) -> BaseVerifyResponse:
    return BaseVerifyResponse(**body.model_dump(), reward=float(bool(body.response.output_text)))


@app.post("/unchecked/seed_session")
async def seed_session_unchecked(body: dict[str, Any]) -> dict[str, Any]:
    return {}


@app.post("/unchecked/verify")
async def verify_unchecked(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "reward": float(bool(body["response"]["output"]))}


async def serve() -> None:
    """Answer until stdin is closed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listener.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
