"""The chunks of a streamed chat answer, folded into the answer that they add up to."""

from __future__ import annotations

from typing import Any

from nemo_gym.errors import ConversionError
from nemo_gym.schemas.tokens import TOKEN_KEYS

Chunk = dict[str, Any]

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")


class ChatChunks:
    """Add chunks as they come; `completion()` is what the same request without `stream` would have answered.

    Only the first choice is kept. Fields that engines add (`prompt_token_ids`, `token_ids`) are kept where an answer
    without `stream` has them.
    """

    def __init__(self) -> None:
        self.id = ""
        self.created = 0
        self.model = ""
        self._message: dict[str, Any] = {"role": "assistant", "content": None}
        self._calls: dict[int, dict[str, Any]] = {}
        self._choice: dict[str, Any] = {"index": 0, "finish_reason": None}
        self._answer: dict[str, Any] = {}

    @property
    def stem(self) -> str:
        """What ids of the answer's items are made from."""
        return self.id.removeprefix("chatcmpl-")

    def add(self, chunk: Chunk) -> Chunk:
        """Fold one chunk in and return its `delta`. Raises `ConversionError` where the chunk tells of an error."""
        if chunk.get("error"):
            error = chunk["error"]
            raise ConversionError(str(error.get("message", error)) if isinstance(error, dict) else str(error))
        self.id = self.id or chunk.get("id") or ""
        self.created = self.created or chunk.get("created") or 0
        self.model = self.model or chunk.get("model") or ""
        for name in ("usage", "prompt_token_ids"):
            if chunk.get(name) is not None:
                self._answer[name] = chunk[name]
        choice = next((one for one in chunk.get("choices") or () if one.get("index", 0) == 0), None)
        return self._add_choice(choice) if choice is not None else {}

    def call(self, piece: Chunk) -> dict[str, Any]:
        """The tool call that a piece of `delta.tool_calls` belongs to, as it is so far."""
        return self._calls[piece.get("index", 0)]

    def completion(self) -> dict[str, Any]:
        """The whole answer so far, in the shape of one that was not streamed."""
        message = dict(self._message)
        if self._calls:
            message["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{**self._choice, "message": message}],
            **self._answer,
        }

    def _add_choice(self, choice: Chunk) -> Chunk:
        delta: Chunk = choice.get("delta") or {}
        for name in _TEXTS:
            if delta.get(name) is not None:
                self._message[name] = (self._message.get(name) or "") + delta[name]
        for call in delta.get("tool_calls") or ():
            self._add_call(call)
        for name in TOKEN_KEYS:
            if delta.get(name) is not None:
                self._message[name] = delta[name]
        if choice.get("finish_reason") is not None:
            self._choice["finish_reason"] = choice["finish_reason"]
        if choice.get("routed_experts") is not None:
            self._choice["routed_experts"] = choice["routed_experts"]
        if choice.get("token_ids") is not None:
            self._choice.setdefault("token_ids", []).extend(choice["token_ids"])
        content = (choice.get("logprobs") or {}).get("content")
        if content:
            self._choice.setdefault("logprobs", {"content": []})["content"].extend(content)
        return delta

    def _add_call(self, call: Chunk) -> None:
        index = call.get("index", 0)
        given = call.get("function") or {}
        call_id = call.get("id") or f"call_{self.stem}_{index}"
        empty = {"id": call_id, "type": "function", "function": {"name": "", "arguments": ""}}
        kept = self._calls.setdefault(index, empty)
        # A name comes whole, at first or once more with each chunk; arguments come in pieces.
        kept["function"]["name"] = kept["function"]["name"] or given.get("name") or ""
        kept["function"]["arguments"] += given.get("arguments") or ""
