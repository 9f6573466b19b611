"""A model that costs next to nothing: `python -m tests.benchmarks.fake_model`, an endpoint of the Responses API.

It asks for a settable number of tool calls, one per answer, then answers with a message. All answers are made
beforehand, and of a request it looks only at how many tool outputs it holds. It speaks HTTP over a plain asyncio
protocol, because an app on uvicorn would cost four times as much and take the cores from what is measured.

It writes its port to stdout in one line, and ends when its stdin is closed. `PUT /settings` sets, `GET /counts` tells.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Any, cast

import orjson
import uvloop

TOOL_NAME = "get_weather"
_TOOL_OUTPUT = b'"function_call_output"'


@dataclass(frozen=True)
class FakeModelSettings:
    """How it answers."""

    tool_calls: int = 0
    """Tool calls that it asks for, one after another, before its message."""
    latency_ms: float = 0.0
    """Time from request to answer."""


@dataclass
class FakeModelCounts:
    """What it did since it was started."""

    requests: int = 0
    messages: int = 0
    """Answers that ended an episode: the number of episodes whose last model call was answered."""


class FakeModel:
    """Settings, counts and the answers made for them; shared by all connections."""

    def __init__(self) -> None:
        self.counts = FakeModelCounts()
        self.configure(FakeModelSettings())

    def configure(self, settings: FakeModelSettings) -> None:
        self.settings = settings
        self._tool_calls = [_http(200, _response(_tool_call(step))) for step in range(settings.tool_calls)]
        self._message = _http(200, _response(_message()))

    def answer(self, body: bytes) -> bytes:
        """The whole HTTP answer to a model call."""
        self.counts.requests += 1
        step = body.count(_TOOL_OUTPUT)
        if step < len(self._tool_calls):
            return self._tool_calls[step]
        self.counts.messages += 1
        return self._message

    def control(self, method: bytes, path: bytes, body: bytes) -> bytes:
        """The whole HTTP answer to the benchmark's own requests."""
        if (method, path) == (b"PUT", b"/settings"):
            self.configure(FakeModelSettings(**orjson.loads(body)))
            return _http(200, {})
        if (method, path) == (b"GET", b"/counts"):
            return _http(200, self.counts)
        return _http(404, {"error": {"type": "not_found", "message": f"no route {path.decode()}"}})


class FakeModelConnection(asyncio.Protocol):
    """One connection: HTTP/1.1 with `Content-Length`, kept alive."""

    def __init__(self, model: FakeModel) -> None:
        self.model = model
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

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
            self._answer(method, path, body)

    def _answer(self, method: bytes, path: bytes, body: bytes) -> None:
        if not path.endswith(b"/responses"):
            self._transport.write(self.model.control(method, path, body))
            return
        answer = self.model.answer(body)
        latency_ms = self.model.settings.latency_ms
        if latency_ms:
            asyncio.get_running_loop().call_later(latency_ms / 1000, self._transport.write, answer)
        else:
            self._transport.write(answer)


def _content_length(head: bytes) -> int:
    """0 where the request has no body."""
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


def _http(status: int, body: object) -> bytes:
    content = orjson.dumps(body)
    head = f"HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


def _response(item: dict[str, Any]) -> dict[str, Any]:
    """One answer of the Responses API, with the fields that OpenAI's have."""
    return {
        "id": "resp_0123456789abcdef0123456789abcdef",
        "object": "response",
        "created_at": 1_800_000_000,
        "status": "completed",
        "model": "fake-model",
        "output": [item],
        "error": None,
        "incomplete_details": None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 120,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 40,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 160,
        },
    }


def _tool_call(step: int) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{step}",
        "call_id": f"call_{step}",
        "name": TOOL_NAME,
        "arguments": '{"city": "Reykjavik"}',
        "status": "completed",
    }


def _message() -> dict[str, Any]:
    text = "It is cold there, 3 degrees, and the wind will not let up before the evening. Take a coat along."
    return {
        "type": "message",
        "id": "msg_0",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }


async def serve() -> None:
    """Answer until stdin is closed."""
    model = FakeModel()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: FakeModelConnection(model), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(serve())
