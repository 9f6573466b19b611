"""Chat-format rows as task rows: `messages` and chat tools become `responses_create_params`."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from nemo_gym.converters import to_responses_request
from nemo_gym.datasets.row_check import PARAMS, chat_wording
from nemo_gym.errors import ConversionError
from nemo_gym.rollouts.rows import TaskRow
from nemo_gym.schemas.chat_completions import ChatCompletionCreateParams
from nemo_gym.schemas.validation import explain

_REQUEST_KEYS = frozenset(
    {
        "messages",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "response_format",
    }
)
"""Keys of a chat-format row that are its request; the others are the environment's and stay where they are."""


def from_chat(row: dict[str, Any]) -> tuple[TaskRow, bool]:
    """The row with a Responses request, and whether it had a chat one. Other rows come back as they are.

    The chat request is the row itself (`messages` beside the environment's fields), its `responses_create_params`
    (`messages` in there), or the items of `input` (messages with `tool_calls`, of role `tool`, with chat parts).
    Raises `ConversionError` where it cannot be said in the Responses API.
    """
    given = row.get(PARAMS)
    params: dict[str, Any] = given if isinstance(given, dict) else {}
    if "messages" in row and "input" not in params:
        chat = {key: value for key, value in row.items() if key in _REQUEST_KEYS}
        rest = {key: value for key, value in row.items() if key not in _REQUEST_KEYS}
        return {PARAMS: _converted(chat) | params, **{key: rest[key] for key in rest if key != PARAMS}}, True
    if "messages" in params and "input" not in params:
        return {**row, PARAMS: _converted(params)}, True
    is_list_of_items = isinstance(params.get("input"), list) and all(isinstance(item, dict) for item in params["input"])
    if is_list_of_items and any(chat_wording(params)):
        tools = params.get("tools") or ()
        worded_as_chat = any("function" in tool for tool in tools if isinstance(tool, dict))
        chat = {"messages": params["input"], **({"tools": tools} if worded_as_chat else {})}
        return {**row, PARAMS: params | _converted(chat)}, True
    return row, False


def _converted(chat: dict[str, Any]) -> dict[str, Any]:
    try:
        request = to_responses_request(ChatCompletionCreateParams.model_validate(chat))
    except ValidationError as error:
        raise ConversionError(f"is no chat request: {'; '.join(explain(error)[:3])}") from error
    said = request.model_dump(mode="json", exclude_none=True)
    return {key: value for key, value in said.items() if not (key == "tools" and not value)}
