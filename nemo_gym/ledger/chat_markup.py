"""Chat markup: what a model wrote as one text, read as a chat message with reasoning and tool calls."""

from __future__ import annotations

import json
import secrets
from typing import Any

from nemo_gym.converters.think_tags import split_think_tags
from nemo_gym.parsers.tags import tagged_blocks
from nemo_gym.parsers.tool_calls import TextToolCall, hermes_tool_calls

Json = dict[str, Any]

_TAG = "tool_call"


def read_chat_markup(text: str, tools_declared: bool) -> Json:
    """The assistant message of a text with leading `<think>…</think>` and Hermes' `<tool_call>{…}</tool_call>`.

    Calls are read only where `tools_declared`, and only where every one can be: with one that cannot, all of it stays
    text, as the model wrote it. `content` is what stands outside of calls; None where there is nothing else.
    """
    reasoning, said = split_think_tags(text)
    message: Json = {"role": "assistant", "content": said}
    if reasoning is not None:
        message["reasoning_content"] = reasoning
    read = hermes_tool_calls(said) if tools_declared else []
    calls = [call for call in read if isinstance(call, TextToolCall)]
    if calls and len(calls) == len(read):
        message |= {"content": _outside_of_calls(said) or None, "tool_calls": [_tool_call(call) for call in calls]}
    return message


def _outside_of_calls(text: str) -> str:
    pieces, position = [], 0
    for block in tagged_blocks(text, _TAG):
        pieces.append(text[position : block.start].strip())
        position = block.end
    pieces.append(text[position:].strip())
    return "\n".join(piece for piece in pieces if piece)


def _tool_call(call: TextToolCall) -> Json:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    function = {"name": call.name, "arguments": arguments}
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}
