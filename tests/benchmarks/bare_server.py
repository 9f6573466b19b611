"""A bare ASGI app on uvicorn, as cheap as a Python web server gets: `python -m tests.benchmarks.bare_server`.

`POST /<n>` is answered with a JSON string of n bytes, whatever the request's body. It writes its port to stdout in one
line, and ends when its stdin is closed.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import sys

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body to its end, as every server must, and answers."""
    while (await receive()).get("more_body"):
        pass
    start, body = _answer(scope["path"])
    await send(start)
    await send(body)


@functools.cache
def _answer(path: str) -> tuple[dict[str, object], dict[str, object]]:
    size = int(path[1:])
    headers = [(b"content-type", b"application/json"), (b"content-length", str(size).encode())]
    body = b'"' + b"x" * (size - 2) + b'"'
    return {"type": "http.response.start", "status": 200, "headers": headers}, {
        "type": "http.response.body",
        "body": body,
    }


async def serve() -> None:
    """Answer until stdin is closed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app, http="httptools", ws="none", lifespan="off", access_log=False, log_level="warning", date_header=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
