"""An answer: what the model wrote, why it stopped, and what it cost, worded for one API or the other."""

from __future__ import annotations

from typing import Any

from nemo_gym.converters.dialect import OPENAI_DIALECT, ChatDialect
from nemo_gym.converters.messages import AssistantTurn, assistant_items
from nemo_gym.errors import ConversionError
from nemo_gym.schemas.chat_completions import ChatCompletion, Choice, CompletionUsage
from nemo_gym.schemas.responses import OutputMessage, OutputText, Response, ResponseCreateParams, ResponseUsage

_ECHOED = {
    "instructions",
    "metadata",
    "parallel_tool_calls",
    "tool_choice",
    "tools",
    "temperature",
    "top_p",
    "max_output_tokens",
}
"""Settings of a request that its Responses answer repeats."""
_FINISHED = {"stop", "tool_calls", "function_call", "eos_token", "stop_sequence", None}
"""`finish_reason` of an answer that ended by itself; any other word is why it is incomplete."""
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""`finish_reason` → `incomplete_details.reason`."""


def to_response(
    completion: ChatCompletion, params: ResponseCreateParams | None = None, dialect: ChatDialect = OPENAI_DIALECT
) -> Response:
    """The first choice of a chat answer as a Responses answer, which echoes the settings of `params`.

    Raises `ConversionError` for an answer without choices.
    """
    if not completion.choices:
        raise ConversionError("the chat answer holds no choice: `choices` is empty")
    choice = completion.choices[0]
    items = assistant_items(choice.message, dialect, completion.id.removeprefix("chatcmpl-"))
    logprobs = (choice.logprobs or {}).get("content")
    reason = (
        None if choice.finish_reason in _FINISHED else _INCOMPLETE.get(choice.finish_reason or "", choice.finish_reason)
    )
    for item in items:
        if isinstance(item, OutputMessage):
            item.status = "incomplete" if reason else "completed"
            if logprobs and isinstance(item.content[0], OutputText):
                item.content[0].logprobs = logprobs
    answer: dict[str, Any] = {
        "id": f"resp_{completion.id.removeprefix('chatcmpl-')}",
        "created_at": completion.created,
        "model": completion.model,
        "output": items,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "usage": _responses_usage(completion.usage),
    }
    if params is not None:
        answer |= params.model_dump(include=_ECHOED, exclude_none=True)
    return Response.model_validate(answer)


def to_chat_completion(response: Response, dialect: ChatDialect = OPENAI_DIALECT) -> ChatCompletion:
    """One model call's Responses answer as a chat answer with one choice.

    Raises `ConversionError` for a failed response, and for one that holds tool outputs: that is a whole rollout.
    """
    if response.error is not None or response.status == "failed":
        cause = response.error.message if response.error else "no reason given"
        raise ConversionError(f"the response failed: {cause}")
    turn = AssistantTurn()
    for index, item in enumerate(response.output):
        turn.add(item, f"output[{index}]")
    reason = response.incomplete_details.reason if response.incomplete_details else None
    finish = {value: key for key, value in _INCOMPLETE.items()}.get(reason or "", reason)
    choice = Choice(
        message=turn.answer(dialect),
        finish_reason=finish or ("tool_calls" if turn.tool_calls else "stop"),
        logprobs={"content": turn.logprobs, "refusal": None} if turn.logprobs else None,
    )
    return ChatCompletion(
        id=f"chatcmpl-{response.id.removeprefix('resp_')}",
        created=int(response.created_at),
        model=response.model,
        choices=[choice],
        usage=_chat_usage(response.usage),
    )


def _responses_usage(usage: CompletionUsage | None) -> ResponseUsage | None:
    if usage is None:
        return None
    cached = usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens
    reasoning = usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens
    return ResponseUsage.model_validate(
        {
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "input_tokens_details": {"cached_tokens": cached or 0},
            "output_tokens_details": {"reasoning_tokens": reasoning or 0},
        }
    )


def _chat_usage(usage: ResponseUsage | None) -> CompletionUsage | None:
    if usage is None:
        return None
    return CompletionUsage.model_validate(
        {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.input_tokens_details.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": usage.output_tokens_details.reasoning_tokens},
        }
    )
