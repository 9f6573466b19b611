"""A tokenizer and a chat template that do everything by which trained tokens go wrong elsewhere.

The tokenizer joins any two ASCII characters, from the left: one character more or less in front, and all that follows
is cut elsewhere. The template drops earlier reasoning, writes tool calls in its own way, and leaves out the middle of a
long conversation.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Sequence
from typing import Any

Json = dict[str, Any]

_BYTES, _ASCII = 256, 128
END = _BYTES + _ASCII * _ASCII
"""The one id that is no text: it ends a turn."""
VOCABULARY = END + 1
END_TEXT = "<|end|>"
"""How the template writes `END`."""
LONGEST = 12
"""Messages; of a conversation that has more, the template writes the first two and the last eight."""


def encode(text: str) -> list[int]:
    """Ids of a text, `<|end|>` in it as `END`."""
    ids: list[int] = []
    for piece in re.split(f"({re.escape(END_TEXT)})", text):
        ids += [END] if piece == END_TEXT else encode_plain(piece)
    return ids


def encode_plain(text: str) -> list[int]:
    """Ids of a text in which nothing stands for structure."""
    data, ids, position = text.encode("utf-8", errors="replace"), [], 0
    while position < len(data):
        pair = data[position : position + 2]
        if len(pair) == 2 and max(pair) < _ASCII:
            ids.append(_BYTES + pair[0] * _ASCII + pair[1])
            position += 2
        else:
            ids.append(pair[0])
            position += 1
    return ids


def sampled(text: str, rng: random.Random) -> list[int]:
    """Ids that a model may have sampled for this text: cut where it likes, not where `encode` cuts."""
    data, ids, position = text.encode("utf-8", errors="replace"), [], 0
    while position < len(data):
        length = 1 if max(data[position : position + 2]) >= _ASCII else rng.choice((1, 2))
        ids += encode_plain(data[position : position + length].decode("latin-1")) if length == 2 else [data[position]]
        position += length
    return ids


def decode(ids: Iterable[int]) -> str:
    """The text of ids, `END` as `<|end|>`."""
    written = bytearray()
    for token in ids:
        if token == END:
            written += END_TEXT.encode()
        elif token < _BYTES:
            written.append(token)
        else:
            written += bytes(divmod(token - _BYTES, _ASCII))
    return written.decode("utf-8", errors="replace")


def render(request: Json) -> str:
    """The prompt of a chat request as text."""
    messages: Sequence[Json] = request["messages"]
    last_user = max((index for index, message in enumerate(messages) if message["role"] == "user"), default=-1)
    written = [_message(message, keeps_reasoning=index > last_user) for index, message in enumerate(messages)]
    if request.get("continue_final_message"):
        return "".join(written).removesuffix(f"{END_TEXT}\n")
    if len(written) > LONGEST:
        written = [*written[:2], f"({len(written) - 10} messages were left out)\n", *written[-8:]]
    tools = [json.dumps(tool["function"], sort_keys=True) for tool in request.get("tools") or ()]
    system = [f"[tools]\n{chr(10).join(tools)}{END_TEXT}\n"] if tools else []
    opening = ["[assistant]\n"] if request.get("add_generation_prompt", True) else []
    return "".join([*system, *written, *opening])


def _message(message: Json, *, keeps_reasoning: bool) -> str:
    content = message.get("content") or ""
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    reasoning = message.get("reasoning_content")
    thought = f"<think>\n{reasoning}\n</think>\n\n" if reasoning and keeps_reasoning else ""
    calls = "".join(
        f"<tool_call>\n{_rewritten(call['function'])}\n</tool_call>" for call in message.get("tool_calls") or ()
    )
    return f"[{message['role']}]\n{thought}{text}{calls}{END_TEXT}\n"


def _rewritten(function: Json) -> str:
    """A call as the template writes it, whatever the model wrote."""
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        arguments = function["arguments"]
    return json.dumps({"arguments": arguments, "name": function["name"]}, sort_keys=True, separators=(",", ":"))
