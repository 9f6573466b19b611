"""One server connection over a plain asyncio protocol: HTTP/1.1 with `Content-Length`, kept alive, and no more.

For stand-ins: an app on uvicorn would cost four times as much and take the cores from what is measured.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from abc import abstractmethod
from collections.abc import Callable
from typing import cast

import orjson
import uvloop


class HttpConnection(asyncio.Protocol):
    """Calls `answer` for each request."""

    def __init__(self) -> None:
        self._received = b""

    @abstractmethod
    def answer(self, method: bytes, path: bytes, body: bytes) -> None:
        """Write the answer, as `http_answer` makes it, to `self.transport`: now or later."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (head_end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:head_end]
            body_end = head_end + 4 + _content_length(head)
            if len(self._received) < body_end:
                return
            body = self._received[head_end + 4 : body_end]
            self._received = self._received[body_end:]
            method, path, _ = head.split(b" ", 2)
            self.answer(method, path, body)


def http_answer(status: int, body: object) -> bytes:
    """A whole HTTP answer with a JSON body; bytes are taken to be JSON."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    head = f"HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


def serve(connection: Callable[[], HttpConnection], on_port: Callable[[int], None] = lambda port: None) -> None:
    """Tell the port in one line on stdout, and answer until stdin is closed."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(connection, "127.0.0.1", 0, backlog=4096)
        port: int = server.sockets[0].getsockname()[1]
        on_port(port)
        print(port, flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        server.close()

    allow_many_open_files()
    uvloop.run(run())


def allow_many_open_files() -> None:
    """As many as this user may have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _content_length(head: bytes) -> int:
    """0 where the request has no body."""
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0
