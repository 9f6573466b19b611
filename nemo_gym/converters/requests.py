"""A request: conversation, tools, formats and sampling parameters, worded for one API or the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from nemo_gym.config.shown import shown
from nemo_gym.converters.dialect import OPENAI_DIALECT, ChatDialect
from nemo_gym.converters.messages import to_chat_messages, to_items
from nemo_gym.errors import ConversionError
from nemo_gym.schemas.chat_completions import ChatCompletionCreateParams
from nemo_gym.schemas.responses import FunctionTool, ResponseCreateParams
from nemo_gym.schemas.validation import explain

Request = TypeVar("Request", bound=BaseModel)

_SAME_IN_BOTH = {"model", "parallel_tool_calls", "temperature", "top_p", "store", "stream", "user"}
_REFUSED_IN_CHAT = {"previous_response_id", "background", "conversation", "prompt"}
"""Parameters without which a request means something else, and which Chat Completions does not have."""
_LEFT_OUT_IN_CHAT = {"context_management"}


def to_chat_request(params: ResponseCreateParams, dialect: ChatDialect = OPENAI_DIALECT) -> ChatCompletionCreateParams:
    """The chat request that asks for the same.

    Raises `ConversionError` for hosted tools, their items, parameters that refer to the server's own storage, and
    whatever else no chat request may hold.
    """
    params = unfold_metadata(params)
    given = params.model_dump(include=_SAME_IN_BOTH | _REFUSED_IN_CHAT, exclude_none=True)
    given |= {key: value for key, value in (params.model_extra or {}).items() if value is not None}
    for name in _REFUSED_IN_CHAT:
        if given.pop(name, None):
            raise ConversionError(
                f"`{name}`: Chat Completions has nothing like it; send the whole conversation in `input`"
            )

    request = {key: value for key, value in given.items() if key not in _LEFT_OUT_IN_CHAT}
    request["messages"] = to_chat_messages(params.input, dialect, instructions=params.instructions)
    _put(request, "metadata", params.metadata or None)
    _put(request, dialect.max_tokens_field, params.max_output_tokens)
    _put(request, "tool_choice", _chat_tool_choice(params.tool_choice))
    if params.tools:
        request["tools"] = [_chat_tool(tool, index) for index, tool in enumerate(params.tools)]
    if params.top_logprobs is not None or "message.output_text.logprobs" in (params.include or ()):
        request["logprobs"] = True
        _put(request, "top_logprobs", params.top_logprobs)
    _put(request, "reasoning_effort", (params.reasoning or {}).get("effort"))
    text = params.text or {}
    _put(request, "verbosity", text.get("verbosity"))
    _put(request, "response_format", _response_format(text.get("format")))
    return _checked(ChatCompletionCreateParams, request)


def unfold_metadata(params: ResponseCreateParams) -> ResponseCreateParams:
    """The same request with the older form of extras, JSON text in `metadata`, made direct parameters.

    `metadata.extra_body` holds any parameters and wins over direct ones, `metadata.chat_template_kwargs` one of that
    name. Raises `ConversionError` where the text is no JSON object, or holds what no request may.
    """
    metadata = params.metadata or {}
    if not metadata.keys() & {"extra_body", "chat_template_kwargs"}:
        return params
    rest = {key: value for key, value in metadata.items() if key not in ("extra_body", "chat_template_kwargs")}
    extras = _json_object(metadata.get("extra_body"), "metadata.extra_body")
    template_kwargs = _json_object(metadata.get("chat_template_kwargs"), "metadata.chat_template_kwargs")
    if template_kwargs:
        direct = (params.model_extra or {}).get("chat_template_kwargs") or {}
        extras["chat_template_kwargs"] = {**direct, **extras.get("chat_template_kwargs", {}), **template_kwargs}
    given = {name: getattr(params, name) for name in params.model_fields_set}
    return _checked(ResponseCreateParams, given | (params.model_extra or {}) | extras | {"metadata": rest or None})


def to_responses_request(
    params: ChatCompletionCreateParams, dialect: ChatDialect = OPENAI_DIALECT
) -> ResponseCreateParams:
    """The Responses request that asks for the same. Raises `ConversionError` for `n` above 1, `functions`, `audio`."""
    given = params.model_dump(include=_SAME_IN_BOTH, exclude_none=True)
    given |= params.model_dump(include={"stop", "seed", "presence_penalty", "frequency_penalty"}, exclude_none=True)
    given |= {key: value for key, value in (params.model_extra or {}).items() if value is not None}
    if params.n not in (None, 1):
        raise ConversionError("`n` is above 1: a Responses request has one answer; send it several times")
    for name in ("functions", "function_call", "audio"):
        if name in given:
            raise ConversionError(f"`{name}`: the Responses API has nothing like it")

    request: dict[str, Any] = given
    text: dict[str, Any] = {}
    _put(text, "verbosity", request.pop("verbosity", None))
    _put(text, "format", _text_format(params.response_format))
    request["input"] = to_items(params.messages, dialect)
    _put(request, "text", text or None)
    _put(request, "metadata", params.metadata or None)
    max_tokens = params.max_completion_tokens if params.max_completion_tokens is not None else params.max_tokens
    _put(request, "max_output_tokens", max_tokens)
    _put(request, "tool_choice", _responses_tool_choice(params.tool_choice))
    if params.tools:
        request["tools"] = [
            {"type": "function", **tool.function.model_dump(exclude_none=True)}
            if tool.function is not None
            else tool.model_dump(exclude_none=True)
            for tool in params.tools
        ]
    if params.logprobs:
        request["include"] = ["message.output_text.logprobs"]
        _put(request, "top_logprobs", params.top_logprobs)
    if params.reasoning_effort is not None:
        request["reasoning"] = {"effort": params.reasoning_effort}
    return _checked(ResponseCreateParams, request)


def _checked(request_class: type[Request], values: Mapping[str, Any]) -> Request:
    try:
        return request_class.model_validate(values)
    except ValidationError as error:
        raise ConversionError("; ".join(explain(error)[:5])) from None


def _chat_tool(tool: FunctionTool, index: int) -> dict[str, Any]:
    if tool.type != "function":
        next_step = "use a model server with `api: responses`"
        raise ConversionError(f"tools[{index}]: Chat Completions has no hosted tool `{tool.type}`; {next_step}")
    return {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}


def _chat_tool_choice(choice: object, place: str = "tool_choice") -> str | dict[str, Any] | None:
    """`{"type": "function", "name": n}` → `{"type": "function", "function": {"name": n}}`, inside allowed tools too."""
    if choice is None or isinstance(choice, str):
        return choice
    given = _object(choice, place)
    kind = given.get("type")
    if kind == "function":
        return {"type": "function", "function": {"name": _needed(given, "name", place)}}
    if kind == "allowed_tools":
        tools = [_chat_tool_choice(tool, f"{place}.tools") for tool in _list(_needed(given, "tools", place), place)]
        mode = _needed(given, "mode", place)
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}
    raise ConversionError(f"{place}.type: Chat Completions has no `{shown(kind)}`")


def _responses_tool_choice(choice: object, place: str = "tool_choice") -> str | dict[str, Any] | None:
    if choice is None or isinstance(choice, str):
        return choice
    given = _object(choice, place)
    kind = given.get("type")
    if kind == "function":
        function = _object(_needed(given, "function", place), f"{place}.function")
        return {"type": "function", "name": _needed(function, "name", f"{place}.function")}
    if kind == "allowed_tools":
        place = f"{place}.allowed_tools"
        allowed = _object(_needed(given, "allowed_tools", place), place)
        tools = [_responses_tool_choice(tool, place) for tool in _list(_needed(allowed, "tools", place), place)]
        return {"type": "allowed_tools", "mode": _needed(allowed, "mode", place), "tools": tools}
    raise ConversionError(f"{place}.type: the Responses API has no `{shown(kind)}`")


def _response_format(text_format: object) -> dict[str, Any] | None:
    """`text.format` as `response_format`: a JSON schema's fields move one level down."""
    if text_format is None:
        return None
    given = _object(text_format, "text.format")
    if given.get("type") != "json_schema":
        return given
    return {"type": "json_schema", "json_schema": {k: v for k, v in given.items() if k != "type"}}


def _text_format(response_format: dict[str, Any] | None) -> dict[str, Any] | None:
    if response_format is None or response_format.get("type") != "json_schema":
        return response_format
    place = "response_format.json_schema"
    return {"type": "json_schema", **_object(response_format.get("json_schema"), place)}


def _object(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConversionError(f"{place}: must be a JSON object, is {type(value).__name__}")
    return value


def _list(value: object, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise ConversionError(f"{place}.tools: must be a list, is {type(value).__name__}")
    return value


def _needed(holder: Mapping[str, Any], key: str, place: str) -> Any:
    if key not in holder:
        raise ConversionError(f"{place}.{key}: is missing")
    return holder[key]


def _json_object(value: Any, place: str) -> dict[str, Any]:
    if value is None:
        return {}
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as error:
        raise ConversionError(f"{place}: no JSON: {error}") from error
    return dict(_object(parsed, place))


def _put(target: dict[str, Any], key: str, value: Any) -> None:
    if value is not None:
        target[key] = value
