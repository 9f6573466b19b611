"""Small task rows and model answers for tests."""

from __future__ import annotations

from typing import Any


def row_asking(question: str, tools: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    """A task row with one user message, and function tools of these names."""
    params: dict[str, Any] = {"input": [{"role": "user", "content": question}]}
    if tools:
        params["tools"] = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in tools]
    return {"responses_create_params": params, **fields}


def message(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def call(name: str, arguments: str = "{}", call_id: str = "call_1") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def response_of(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A Responses API answer with these output items."""
    return {"id": "resp_1", "object": "response", "created_at": 0.0, "model": "m", "output": list(items), **fields}


def response_saying(text: str) -> dict[str, Any]:
    return response_of(message(text))
