"""A request: conversation, tools, formats and sampling parameters, worded for one API or the other."""

from __future__ import annotations

import json
from typing import Any

from nemo_gym.converters.dialect import OPENAI_DIALECT, ChatDialect
from nemo_gym.converters.messages import to_chat_messages, to_items
from nemo_gym.errors import ConversionError
from nemo_gym.schemas.chat_completions import ChatCompletionCreateParams
from nemo_gym.schemas.responses import FunctionTool, ResponseCreateParams

_SAME_IN_BOTH = {"model", "parallel_tool_calls", "temperature", "top_p", "store", "stream", "user"}
_REFUSED_IN_CHAT = {"previous_response_id", "background", "conversation", "prompt"}
"""Parameters without which a request means something else, and which Chat Completions does not have."""
_LEFT_OUT_IN_CHAT = {"context_management"}


def to_chat_request(params: ResponseCreateParams, dialect: ChatDialect = OPENAI_DIALECT) -> ChatCompletionCreateParams:
    """The chat request that asks for the same.

    Raises `ConversionError` for hosted tools, their items, and parameters that refer to the server's own storage.
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
    return ChatCompletionCreateParams.model_validate(request)


def unfold_metadata(params: ResponseCreateParams) -> ResponseCreateParams:
    """The same request with the older form of extras, JSON text in `metadata`, made direct parameters.

    `metadata.extra_body` holds any parameters and wins over direct ones, `metadata.chat_template_kwargs` one of that
    name. Raises `ConversionError` where the text is no JSON object.
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
    return params.model_copy(update={**extras, "metadata": rest or None})


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
    return ResponseCreateParams.model_validate(request)


def _chat_tool(tool: FunctionTool, index: int) -> dict[str, Any]:
    if tool.type != "function":
        next_step = "use a model server with `api: responses`"
        raise ConversionError(f"tools[{index}]: Chat Completions has no hosted tool `{tool.type}`; {next_step}")
    return {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}


def _chat_tool_choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    """`{"type": "function", "name": n}` → `{"type": "function", "function": {"name": n}}`, inside allowed tools too."""
    if choice is None or isinstance(choice, str):
        return choice
    kind = choice.get("type")
    if kind == "function":
        return {"type": "function", "function": {"name": choice["name"]}}
    if kind == "allowed_tools":
        tools = [_chat_tool_choice(tool) for tool in choice["tools"]]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice["mode"], "tools": tools}}
    raise ConversionError(f"tool_choice.type: Chat Completions has no `{kind}`")


def _responses_tool_choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    if choice is None or isinstance(choice, str):
        return choice
    kind = choice.get("type")
    if kind == "function":
        return {"type": "function", "name": choice["function"]["name"]}
    if kind == "allowed_tools":
        allowed = choice["allowed_tools"]
        tools = [_responses_tool_choice(tool) for tool in allowed["tools"]]
        return {"type": "allowed_tools", "mode": allowed["mode"], "tools": tools}
    raise ConversionError(f"tool_choice.type: the Responses API has no `{kind}`")


def _response_format(text_format: dict[str, Any] | None) -> dict[str, Any] | None:
    """`text.format` as `response_format`: a JSON schema's fields move one level down."""
    if text_format is None or text_format.get("type") != "json_schema":
        return text_format
    return {"type": "json_schema", "json_schema": {k: v for k, v in text_format.items() if k != "type"}}


def _text_format(response_format: dict[str, Any] | None) -> dict[str, Any] | None:
    if response_format is None or response_format.get("type") != "json_schema":
        return response_format
    return {"type": "json_schema", **response_format["json_schema"]}


def _json_object(value: Any, place: str) -> dict[str, Any]:
    if value is None:
        return {}
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as error:
        raise ConversionError(f"{place}: no JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ConversionError(f"{place}: must be a JSON object, is {type(parsed).__name__}")
    return dict(parsed)


def _put(target: dict[str, Any], key: str, value: Any) -> None:
    if value is not None:
        target[key] = value
