"""A model that costs next to nothing: `python -m tests.benchmarks.fake_model`, an endpoint of the Responses API.

It asks for a settable number of tool calls, one per answer, then answers with a message. All answers are made
beforehand, and of a request it looks only at how many tool outputs it holds.

It writes its port to stdout in one line, and ends when its stdin is closed. `PUT /settings` sets, `GET /counts` tells.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson

from tests.benchmarks.http_connection import HttpConnection, http_answer, serve

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
    waiting: int = 0
    """Requests that wait for their latency to pass."""
    most_waiting: int = 0
    """The most of them at once, since it was last configured."""


class FakeModel:
    """Settings, counts and the answers made for them; shared by all connections."""

    def __init__(self) -> None:
        self.counts = FakeModelCounts()
        self.configure(FakeModelSettings())

    def configure(self, settings: FakeModelSettings) -> None:
        self.settings = settings
        self.counts.most_waiting = self.counts.waiting
        self._tool_calls = [http_answer(200, _response(_tool_call(step))) for step in range(settings.tool_calls)]
        self._message = http_answer(200, _response(_message()))

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
            return http_answer(200, {})
        if (method, path) == (b"GET", b"/counts"):
            return http_answer(200, self.counts)
        return http_answer(404, {"error": {"type": "not_found", "message": f"no route {path.decode()}"}})


class FakeModelConnection(HttpConnection):
    """One connection to it."""

    def __init__(self, model: FakeModel) -> None:
        super().__init__()
        self.model = model

    def answer(self, method: bytes, path: bytes, body: bytes) -> None:
        if not path.endswith(b"/responses"):
            self.transport.write(self.model.control(method, path, body))
            return
        answer = self.model.answer(body)
        latency_ms = self.model.settings.latency_ms
        if not latency_ms:
            self.transport.write(answer)
            return
        counts = self.model.counts
        counts.waiting += 1
        counts.most_waiting = max(counts.waiting, counts.most_waiting)
        asyncio.get_running_loop().call_later(latency_ms / 1000, self._answer_late, answer)

    def _answer_late(self, answer: bytes) -> None:
        self.model.counts.waiting -= 1
        self.transport.write(answer)


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


if __name__ == "__main__":
    model = FakeModel()
    serve(lambda: FakeModelConnection(model))
