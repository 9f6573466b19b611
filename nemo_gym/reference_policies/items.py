"""Items of a request as plain JSON: which model call wrote them, and what they say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

Item = dict[str, Any]
"""One item of the Responses API, as plain JSON."""


def items_of(request_input: str | Sequence[Item]) -> list[Item]:
    """A request's `input` as items: a string is one user message."""
    return [{"role": "user", "content": request_input}] if isinstance(request_input, str) else list(request_input)


def split_model_calls(items: Iterable[Item]) -> list[list[Item]]:
    """What the model wrote, one list per model call, in order.

    A call ends where something comes that no model writes (a tool output, a user's message), and after token fields.
    Two calls with nothing between them and no tokens look like one.
    """
    calls: list[list[Item]] = []
    open_call = False
    for item in items:
        if not _is_written_by_model(item):
            open_call = False
            continue
        if not open_call:
            calls.append([])
        calls[-1].append(item)
        open_call = item.get("generation_token_ids") is None
    return calls


def text_of(content: object) -> str:
    """Text of a message or tool output: parts of text are joined, others stand as JSON."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text", part.get("refusal")) for part in content]
    return "".join(
        text if isinstance(text, str) else json.dumps(part, sort_keys=True)
        for part, text in zip(content, texts, strict=True)
    )


def _is_written_by_model(item: Item) -> bool:
    if item.get("role") is not None:
        return bool(item["role"] == "assistant")
    return not str(item.get("type")).endswith("_output")
