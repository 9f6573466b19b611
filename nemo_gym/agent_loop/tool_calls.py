"""Tool calls of a policy: which may be made, and with what arguments. What may not gets an error text as its output."""

from __future__ import annotations

import re
from typing import Any

import orjson

from nemo_gym.config.nearest import suggestion
from nemo_gym.schemas.episode import SERVER_ROUTES

_TOOL_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,128}", re.ASCII)


def declared_tools(params: dict[str, Any]) -> frozenset[str]:
    """Names of the function tools in `tools`: only these may be called."""
    tools = params.get("tools") or []
    return frozenset(tool["name"] for tool in tools if tool.get("type", "function") == "function" and tool.get("name"))


def check_call(call: dict[str, Any], declared: frozenset[str]) -> dict[str, Any] | str:
    """The call's arguments if it may be made, else the text that tells the model why not."""
    name = call["name"]
    if name not in declared:
        return _error(f"there is no tool `{name[:100]}`; {suggestion(name[:100], declared, kind='tools')}")
    if name.lower() in SERVER_ROUTES or not _TOOL_NAME.fullmatch(name):
        return _error(f"`{name}` cannot be used as a tool's name")
    try:
        arguments = orjson.loads(call["arguments"] or "{}")
    except orjson.JSONDecodeError as error:
        return _error(f"the arguments are no JSON: {error}")
    if not isinstance(arguments, dict):
        return _error(f"the arguments must be a JSON object, got {type(arguments).__name__}")
    return arguments


def output_item(call: dict[str, Any], output: str | list[dict[str, Any]] | None) -> dict[str, Any]:
    """The item that answers a call; `output` None: nobody answered it, which the model is told."""
    if output is None:
        output = _error(f"the environment gave no answer to this call of `{call['name'][:100]}`")
    return {"type": "function_call_output", "call_id": call["call_id"], "output": output}


def _error(message: str) -> str:
    return orjson.dumps({"error": message}).decode()
