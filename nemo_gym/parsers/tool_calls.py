"""Tool calls that a model wrote as text: Hermes' `<tool_call>{…}</tool_call>`, and fenced JSON."""

from __future__ import annotations

from dataclasses import dataclass

from nemo_gym.parsers.code_block import code_blocks
from nemo_gym.parsers.json_text import parse_json
from nemo_gym.parsers.tags import tagged_blocks

SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class TextToolCall:
    """A call that can be made."""

    name: str
    arguments: dict[str, object]


@dataclass(frozen=True)
class UnreadableToolCall:
    """Something in the place of a call that is none."""

    text: str
    """Its first `SHOWN_CHARACTERS` characters."""
    problem: str
    """What is wrong with it, in words for the model."""


def hermes_tool_calls(text: str) -> list[TextToolCall | UnreadableToolCall]:
    """The calls in `<tool_call>…</tool_call>`, in order; empty if there are none.

    Each is an object with `name` and `arguments` (or `parameters`): an object, or a string that holds one as JSON;
    without them the call has none. A last `<tool_call>` that is not closed is an unreadable call.
    """
    blocks = tagged_blocks(text, "tool_call")
    calls = [_read_call(block.content) for block in blocks]
    _, opening, rest = text[blocks[-1].end if blocks else 0 :].partition("<tool_call>")
    if opening:
        calls.append(UnreadableToolCall(rest[:SHOWN_CHARACTERS], "<tool_call> is not closed by </tool_call>"))
    return calls


def fenced_tool_calls(text: str, *languages: str) -> list[TextToolCall | UnreadableToolCall]:
    """The calls in fenced code blocks of the given languages, `json` and `tool_call` by default; one object a block."""
    return [_read_call(block.code) for block in code_blocks(text, *(languages or ("json", "tool_call")))]


def _read_call(text: str) -> TextToolCall | UnreadableToolCall:
    shown = text.strip()[:SHOWN_CHARACTERS]
    try:
        call = parse_json(text.strip())
    except ValueError as error:
        return UnreadableToolCall(shown, f"is no JSON: {error}")
    if not isinstance(call, dict):
        return UnreadableToolCall(shown, "is no JSON object with `name` and `arguments`")
    name = call.get("name")
    if not isinstance(name, str) or not name:
        return UnreadableToolCall(shown, "has no `name`")
    arguments = call.get("arguments", call.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            arguments = parse_json(arguments)
        except ValueError as error:
            return UnreadableToolCall(shown, f"`arguments` is text that is no JSON: {error}")
    if not isinstance(arguments, dict):
        return UnreadableToolCall(shown, "`arguments` is no object")
    return TextToolCall(name, arguments)
