"""What a policy sees at one model call, and what it writes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nemo_gym.reference_policies.items import Item, items_of, text_of


@dataclass(frozen=True)
class PolicyTurn:
    """What a policy sees at one model call."""

    row: dict[str, Any] | None
    """The task row that the request's first items are from; None where no row has them."""
    input: list[Item]
    """The request's items so far, the row's own first."""
    tools: list[dict[str, Any]]
    step: int
    """Model calls answered before in this rollout, from 0."""
    rng: random.Random
    """The rollout's own, seeded; the same over all its steps."""
    occurrence: int = 0
    """Rollouts of this row that began before this one."""


Policy = Callable[[PolicyTurn], str | list[Item]]
"""Answers one model call: text is one assistant message; else output items."""


def message(text: str) -> Item:
    """An assistant message."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "content": content, "status": "completed"}


def function_call(name: str, arguments: dict[str, Any] | str) -> Item:
    """A tool call; text is sent as it is, so that broken JSON can be written. The player gives it a `call_id`."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"type": "function_call", "name": name, "arguments": text, "status": "completed"}


def reasoning(text: str) -> Item:
    """A reasoning item."""
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}


def tool_outputs(turn: PolicyTurn) -> list[str]:
    """What the tools answered in this rollout, in order; tool outputs that the row itself begins with are left out."""
    before = [] if turn.row is None else items_of(turn.row["responses_create_params"]["input"])
    outputs = [text_of(item.get("output")) for item in turn.input if item.get("type") == "function_call_output"]
    return outputs[sum(item.get("type") == "function_call_output" for item in before) :]
