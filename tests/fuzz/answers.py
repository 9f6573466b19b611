"""What the scripted model says while it is fuzzed: a call of a tool, a call of none, a message; by turns."""

from __future__ import annotations

from typing import Any


def answer(request: Any) -> list[dict[str, Any]]:
    """Output items, by the number of items that were said already."""
    said = request.input if isinstance(request.input, list) else []
    calls = [
        {"type": "function_call", "call_id": f"call_{len(said)}", "name": name, "arguments": "{}"}
        for name in ("extract_synonym_values", "no_such_tool")
    ]
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "42"}]}
    return [*calls[: 2 - min(len(said), 2)]] or [message]
