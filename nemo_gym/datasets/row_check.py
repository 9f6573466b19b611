"""The full check of a task row: everything that an agent, a model or a resources server would refuse later."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from nemo_gym.rollouts.rows import TaskRow, structure_problem
from nemo_gym.schemas.episode import SERVER_ROUTES, BaseRunRequest
from nemo_gym.schemas.validation import explain

PARAMS = "responses_create_params"

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CHAT_PARTS = {"text": "input_text", "image_url": "input_image", "file": "input_file"}


def mistakes_in(row: TaskRow) -> list[str]:
    """What is wrong with a row, each with its place and what to write instead; empty if nothing is."""
    problem = structure_problem(row)
    if problem is not None:
        return [problem]
    params = row[PARAMS]
    chat = list(chat_wording(params))
    if chat:
        return [f"{chat[0]} (`+convert_chat=true` converts the row)", *chat[1:]]
    try:
        BaseRunRequest.model_validate(row)
    except ValidationError as error:
        return explain(error)
    return [*_tool_mistakes(params.get("tools") or []), *_call_mistakes(params)]


def chat_wording(params: dict[str, Any]) -> Iterator[str]:
    """Places where a request is worded for Chat Completions, and how the Responses API says it."""
    given = params.get("input")
    for index, item in enumerate(given if isinstance(given, list) else ()):
        place = f"{PARAMS}.input[{index}]"
        if item.get("role") == "tool":
            yield f"{place} is a chat message of role `tool`; here it is an item of type `function_call_output`"
        elif item.get("tool_calls"):
            yield f"{place} holds chat `tool_calls`; here each call is an item of type `function_call`"
        elif isinstance(item.get("content"), list):
            for number, part in enumerate(item["content"]):
                kind = part.get("type") if isinstance(part, dict) else None
                if kind in _CHAT_PARTS:
                    yield f"{place}.content[{number}] is a chat part `{kind}`; here it is `{_CHAT_PARTS[kind]}`"
    for index, tool in enumerate(params.get("tools") or ()):
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict):
            yield f"{PARAMS}.tools[{index}] is a chat tool; here `name` and the rest stand beside `type`"


def _tool_mistakes(tools: list[dict[str, Any]]) -> Iterator[str]:
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        place = f"{PARAMS}.tools[{index}]"
        if tool.get("type", "function") != "function":
            continue  # the model's host runs it and knows its fields
        name = tool.get("name")
        if name is None:
            yield f"{place} has no `name`"
            continue
        if not _TOOL_NAME.fullmatch(name):
            yield f"{place}.name: a tool's name is 1 to 64 letters, digits, `_` and `-`, not `{name[:80]}`"
        elif name in SERVER_ROUTES:
            yield f"{place}.name: `{name}` is a route of every resources server; give the tool another name"
        elif name in seen:
            yield f"{place}.name: a second tool `{name}`"
        seen.add(name)
        kind = (tool.get("parameters") or {}).get("type", "object")
        if kind != "object":
            yield f"{place}.parameters: the schema of arguments has `type: object`, not `{kind}`"


def _call_mistakes(params: dict[str, Any]) -> Iterator[str]:
    """Tool outputs that answer no call: engines refuse such a conversation."""
    given = params["input"]
    if isinstance(given, str) or params.get("previous_response_id"):
        return
    asked: set[str] = set()
    for index, item in enumerate(given):
        match item.get("type"):
            case "item_reference":
                return  # stands for an item that only the model's host knows
            case "function_call":
                asked.add(item["call_id"])
            case "function_call_output" if item["call_id"] not in asked:
                yield f"{PARAMS}.input[{index}].call_id: no `function_call` before it has the id `{item['call_id']}`"
