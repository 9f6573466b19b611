"""How one Chat Completions server words what the API leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ChatDialect:
    """How one Chat Completions server words what the API leaves open."""

    reasoning_field: Literal["reasoning_content", "reasoning", "none"] = "reasoning_content"
    """Message field that takes earlier reasoning in a request; `none` leaves it out. Answers are read under both."""
    think_tags: bool = False
    """Whether reasoning stands in the text itself, as leading `<think>...</think>`, in requests and answers."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    developer_role: Literal["developer", "system"] = "developer"
    """Role under which developer messages are sent: many chat templates know only `system`."""


OPENAI_DIALECT = ChatDialect()
