"""A conversation, known by a digest that stays the same when a client sends back what it was given.

An entry is a chat message or an item of the Responses API, as plain JSON. Clients word entries anew: ids and token
fields go, text becomes parts, arguments of a tool call are written with other spaces, leading `<think>` tags become
reasoning. None of that is another conversation; everything else is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson

from nemo_gym.converters.think_tags import split_think_tags
from nemo_gym.ledger.growing import Growing
from nemo_gym.schemas.tokens import TOKEN_KEYS

Json = dict[str, Any]

_SIZE = 16
_NOT_COMPARED = frozenset({*TOKEN_KEYS, "id", "status", "type", "reasoning", "logprobs", "annotations"})


@dataclass(frozen=True, eq=False)
class Conversation:
    """Entries under given settings. Never changed; longer ones are made from it at the cost of what is new."""

    settings: bytes
    """Digest of what besides entries shapes a prompt."""
    entries: Growing[Json]
    digest: bytes
    """Of settings and all entries."""
    before_last: bytes
    """Of settings and all entries but the last."""

    @classmethod
    def begin(cls, settings: Mapping[str, Any]) -> Self:
        """One without entries. `settings`: tools, instructions, arguments of the chat template."""
        given = {key: value for key, value in settings.items() if value}
        digest = _digest(b"", given)
        return cls(digest, Growing(), digest, digest)

    def plus(self, entries: Iterable[Json]) -> Self:
        """This with more entries after it."""
        more, digest, before_last = [_without_tokens(entry) for entry in entries], self.digest, self.before_last
        for entry in more:
            before_last, digest = digest, _digest(digest, _canonical(entry))
        return type(self)(self.settings, self.entries.plus(more), digest, before_last)

    def written_on(self, text: str) -> Self:
        """This with more text in its last message."""
        last = {**self.last, "content": said(self.last) + text}
        entries = Growing(self.entries.until(len(self.entries) - 1)).plus([last])
        return type(self)(self.settings, entries, _digest(self.before_last, _canonical(last)), self.before_last)

    @property
    def last(self) -> Json:
        """The last entry; there must be one."""
        [entry] = self.entries.since(len(self.entries) - 1)
        return entry

    def all(self) -> list[Json]:
        """The entries."""
        return self.entries.since(0)


def said(entry: Mapping[str, Any]) -> str:
    """The text of a message."""
    return _text(entry.get("content"))


def _without_tokens(entry: Json) -> Json:
    if entry.get("generation_token_ids") is None:
        return entry
    return {key: value for key, value in entry.items() if key not in TOKEN_KEYS}


def _canonical(entry: Mapping[str, Any]) -> Json:
    fields: Json = {key: value for key, value in entry.items() if key not in _NOT_COMPARED}
    if "role" not in fields:
        fields["type"] = entry.get("type")
    if "content" in fields:
        fields["content"] = _text(fields["content"])
    if fields.get("role") == "assistant":
        thought, fields["content"] = split_think_tags(fields.get("content") or "")
        reasoning = fields.pop("reasoning_content", None) or entry.get("reasoning") or thought or ""
        fields |= {"content": fields["content"].strip(), "reasoning_content": reasoning.strip()}
    if "arguments" in fields:
        fields["arguments"] = _arguments(fields["arguments"])
    if fields.get("tool_calls"):
        fields["tool_calls"] = [
            [call.get("id"), call["function"]["name"], _arguments(call["function"]["arguments"])]
            for call in fields["tool_calls"]
        ]
    return {key: value for key, value in fields.items() if value not in (None, "", [])}


def _digest(before: bytes, value: object) -> bytes:
    return hashlib.blake2b(before + _written(value), digest_size=_SIZE).digest()


def _text(content: object) -> str:
    """Content as one text; parts that are none stand as JSON."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list) else [content]
    return "".join(
        part["text"] if isinstance(part, dict) and isinstance(part.get("text"), str) else _written(part).decode()
        for part in parts
    )


def _arguments(text: object) -> object:
    """Arguments as the value that they are, where they are JSON."""
    try:
        return orjson.loads(text) if isinstance(text, str) else text
    except orjson.JSONDecodeError:
        return text


def _written(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
