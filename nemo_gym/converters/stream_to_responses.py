"""The events of a streamed Responses answer, made from the chunks of a streamed chat answer."""

from __future__ import annotations

import secrets
from typing import Any, Literal

from nemo_gym.converters.answers import to_response
from nemo_gym.converters.chat_chunks import ChatChunks, Chunk
from nemo_gym.converters.dialect import OPENAI_DIALECT, ChatDialect
from nemo_gym.converters.think_tags import ThinkTagStream
from nemo_gym.schemas.chat_completions import ChatCompletion
from nemo_gym.schemas.responses import Response, ResponseCreateParams, ResponseError

Event = dict[str, Any]

_EMPTY_PARTS: dict[str, dict[str, Any]] = {
    "output_text": {"type": "output_text", "text": "", "annotations": []},
    "refusal": {"type": "refusal", "refusal": ""},
}
_NOTHING_SAID: dict[str, dict[str, Any]] = {
    "reasoning": {"summary": []},
    "message": {"content": []},
    "function_call": {"arguments": ""},
}


class ResponsesStream:
    """Add chunks as they come, then `end`; each gives the events to send next.

    Deltas are sent at once; the events that close an item come at the end, when the whole answer is known. So the
    response in the last event is exactly what the same request without `stream` would have been answered with.
    """

    def __init__(self, params: ResponseCreateParams, dialect: ChatDialect = OPENAI_DIALECT) -> None:
        self._params, self._dialect = params, dialect
        self._chunks = ChatChunks()
        self._think_tags = ThinkTagStream() if dialect.think_tags else None
        self._items: dict[str, int] = {}
        """Ids of the items that were announced → their place in `output`."""
        self._parts: dict[str, int] = {}
        """Kinds of the message's parts that were announced → their place in its `content`."""
        self._sequence_number = 0
        self._fallback_stem = secrets.token_hex(8)

    def add(self, chunk: Chunk) -> list[Event]:
        """Raises `ConversionError` where the chunk tells of an error."""
        delta = self._chunks.add(chunk)
        events = self._begin()
        events += self._reasoning(delta.get("reasoning_content") or delta.get("reasoning") or "")
        content = delta.get("content") or ""
        pieces = self._think_tags.add(content) if self._think_tags is not None else [("text", content)]
        for kind, piece in pieces:
            events += self._reasoning(piece) if kind == "reasoning" else self._said("output_text", piece)
        events += self._said("refusal", delta.get("refusal") or "")
        for call in delta.get("tool_calls") or ():
            events += self._arguments(call)
        return events

    @property
    def completion(self) -> dict[str, Any]:
        """The chat answer that the chunks so far add up to."""
        return self._chunks.completion()

    def end(self, completion: ChatCompletion) -> list[Event]:
        """`completion` is the whole chat answer. Raises `ConversionError` where it is of no use."""
        events = self._begin()
        for kind, piece in self._think_tags.end() if self._think_tags is not None else ():
            events += self._reasoning(piece) if kind == "reasoning" else self._said("output_text", piece)
        response = to_response(completion, self._params, self._dialect).model_dump(mode="json")
        for item in response["output"]:
            events += self._close(item)
        last = "response.incomplete" if response["status"] == "incomplete" else "response.completed"
        return [*events, self._event(last, response=response)]

    def fail(self, message: str) -> list[Event]:
        """The end of an answer that broke off."""
        events = self._begin()
        response = self._unfinished("failed", error=ResponseError(code="server_error", message=message))
        return [*events, self._event("response.failed", response=response)]

    def _begin(self) -> list[Event]:
        if self._sequence_number > 0:
            return []
        response = self._unfinished("in_progress", error=None)
        return [self._event(kind, response=response) for kind in ("response.created", "response.in_progress")]

    def _unfinished(self, status: str, error: ResponseError | None) -> dict[str, Any]:
        empty = {**self._chunks.completion(), "choices": [{"message": {}}]}
        response: Response = to_response(ChatCompletion.model_validate(empty), self._params)
        own = {"id": f"resp_{self._chunks.stem or self._fallback_stem}", "status": status, "error": error}
        return response.model_copy(update={**own, "output": []}).model_dump(mode="json")

    # What is being said.

    def _reasoning(self, delta: str) -> list[Event]:
        if not delta:
            return []
        item_id = f"rs_{self._chunks.stem}"
        events = self._open(item_id, {"type": "reasoning", "summary": []})
        if events:
            events.append(self._about_summary("part.added", item_id, part={"type": "summary_text", "text": ""}))
        return [*events, self._about_summary("text.delta", item_id, delta=delta)]

    def _said(self, kind: Literal["output_text", "refusal"], delta: str) -> list[Event]:
        if not delta:
            return []
        item_id = f"msg_{self._chunks.stem}"
        events = self._open(item_id, {"type": "message", "role": "assistant", "content": []})
        events += self._open_part(item_id, kind)
        logprobs: Event = {"logprobs": []} if kind == "output_text" else {}
        return [*events, self._about_part(f"{kind}.delta", item_id, kind, delta=delta, **logprobs)]

    def _arguments(self, chunk: Chunk) -> list[Event]:
        call = self._chunks.call(chunk)
        item_id = f"fc_{self._chunks.stem}_{chunk.get('index', 0)}"
        announced = {"type": "function_call", "call_id": call["id"], "name": call["function"]["name"], "arguments": ""}
        events = self._open(item_id, announced)
        delta = (chunk.get("function") or {}).get("arguments")
        if delta:
            events.append(self._about_item("response.function_call_arguments.delta", item_id, delta=delta))
        return events

    # The frame of what is being said.

    def _open(self, item_id: str, item: dict[str, Any]) -> list[Event]:
        """The announcement of an item, at its first delta."""
        if item_id in self._items:
            return []
        self._items[item_id] = len(self._items)
        item = {**item, "id": item_id, "status": "in_progress"}
        return [self._event("response.output_item.added", output_index=self._items[item_id], item=item)]

    def _open_part(self, item_id: str, kind: str) -> list[Event]:
        if kind in self._parts:
            return []
        self._parts[kind] = len(self._parts)
        return [self._about_part("content_part.added", item_id, kind, part=_EMPTY_PARTS[kind])]

    def _close(self, item: dict[str, Any]) -> list[Event]:
        """The events after which nothing more is said of an item, which is now complete."""
        item_id, kind = item["id"], item["type"]
        announced: Event = {name: item[name] for name in ("type", "role", "call_id", "name") if name in item}
        events = self._open(item_id, {**announced, **_NOTHING_SAID[kind]})
        if kind == "reasoning":
            [part] = item["summary"]
            events.append(self._about_summary("text.done", item_id, text=part["text"]))
            events.append(self._about_summary("part.done", item_id, part=part))
        elif kind == "function_call":
            done = {"name": item["name"], "arguments": item["arguments"]}
            events.append(self._about_item("response.function_call_arguments.done", item_id, **done))
        else:
            for part in item["content"]:
                events += self._close_part(item_id, part)
        return [*events, self._event("response.output_item.done", output_index=self._items[item_id], item=item)]

    def _close_part(self, item_id: str, part: dict[str, Any]) -> list[Event]:
        kind = part["type"]
        events = self._open_part(item_id, kind)
        said: Event = {"text": part["text"], "logprobs": []} if kind == "output_text" else {"refusal": part["refusal"]}
        events.append(self._about_part(f"{kind}.done", item_id, kind, **said))
        return [*events, self._about_part("content_part.done", item_id, kind, part=part)]

    def _about_summary(self, what: str, item_id: str, **fields: Any) -> Event:
        return self._about_item(f"response.reasoning_summary_{what}", item_id, summary_index=0, **fields)

    def _about_part(self, what: str, item_id: str, part_kind: str, **fields: Any) -> Event:
        return self._about_item(f"response.{what}", item_id, content_index=self._parts[part_kind], **fields)

    def _about_item(self, kind: str, item_id: str, **fields: Any) -> Event:
        return self._event(kind, item_id=item_id, output_index=self._items[item_id], **fields)

    def _event(self, kind: str, **fields: Any) -> Event:
        event = {"type": kind, "sequence_number": self._sequence_number, **fields}
        self._sequence_number += 1
        return event
