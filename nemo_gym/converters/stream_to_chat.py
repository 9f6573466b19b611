"""The chunks of a streamed chat answer, made from the events of a streamed Responses answer."""

from __future__ import annotations

from typing import Any

from nemo_gym.converters.answers import to_chat_completion
from nemo_gym.converters.chat_chunks import Chunk
from nemo_gym.converters.dialect import OPENAI_DIALECT, ChatDialect
from nemo_gym.errors import ConversionError
from nemo_gym.schemas.chat_completions import ChatCompletionCreateParams
from nemo_gym.schemas.responses import Response

_TEXT_DELTAS = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "reasoning_content",
    "response.reasoning_text.delta": "reasoning_content",
}
"""Event → the field of a chat delta that its text stands in."""
_LAST = {"response.completed", "response.incomplete"}
_BROKEN = {"response.failed", "error"}


class ChatStream:
    """Add events as they come; each gives the chunks to send next, the last event those that end the answer."""

    def __init__(self, params: ChatCompletionCreateParams, dialect: ChatDialect = OPENAI_DIALECT) -> None:
        self._wants_usage = bool((params.stream_options or {}).get("include_usage"))
        self._dialect = dialect
        self._frame: Chunk = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": params.model or ""}
        self._calls: dict[int, int] = {}
        """Place of a tool call in `output` → its place among the tool calls."""

    def add(self, event: dict[str, Any]) -> list[Chunk]:
        """Raises `ConversionError` where the event tells of an error, `ValidationError` for an unusable answer."""
        kind = event.get("type")
        if kind == "response.created":
            response = event["response"]
            chat_id = f"chatcmpl-{response['id'].removeprefix('resp_')}"
            self._frame |= {"id": chat_id, "created": int(response["created_at"]), "model": response["model"]}
            return [self._chunk({"role": "assistant", "content": ""})]
        if kind in _TEXT_DELTAS:
            return [self._chunk({_TEXT_DELTAS[kind]: event["delta"]})]
        if kind == "response.output_item.added" and event["item"]["type"] == "function_call":
            index = self._calls[event["output_index"]] = len(self._calls)
            function = {"name": event["item"]["name"], "arguments": ""}
            call = {"index": index, "id": event["item"]["call_id"], "type": "function", "function": function}
            return [self._chunk({"tool_calls": [call]})]
        if kind == "response.function_call_arguments.delta":
            call = {"index": self._calls[event["output_index"]], "function": {"arguments": event["delta"]}}
            return [self._chunk({"tool_calls": [call]})]
        if kind in _LAST:
            return self._end(Response.model_validate(event["response"]))
        if kind in _BROKEN:
            raise ConversionError(_message_of(event))
        return []

    def _end(self, response: Response) -> list[Chunk]:
        completion = to_chat_completion(response, self._dialect)
        last = self._chunk({}, completion.choices[0].finish_reason)
        if not self._wants_usage or completion.usage is None:
            return [last]
        return [last, {**self._frame, "choices": [], "usage": completion.usage.model_dump(mode="json")}]

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> Chunk:
        return {**self._frame, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def _message_of(event: dict[str, Any]) -> str:
    error = (event.get("response") or {}).get("error") or event
    return str(error.get("message") or "no reason given")
