"""Conversations: rollouts as chat messages, and as token ids with a mask of what the policy said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from nemo_gym.converters import to_chat_request
from nemo_gym.schemas.responses import ResponseCreateParams

Message = dict[str, Any]


@dataclass(frozen=True)
class Conversation:
    """A whole rollout, as its messages and the tools that were declared."""

    messages: list[Message]
    tools: list[dict[str, Any]] | None

    @classmethod
    def of(cls, rollout: Mapping[str, Any]) -> Conversation:
        """A rollout as an agent returns it."""
        params = rollout["responses_create_params"]
        items = [*params["input"], *rollout["response"]["output"]]
        request = to_chat_request(ResponseCreateParams.model_validate({**params, "input": items}))
        worded = request.model_dump(mode="json", exclude_none=True)
        return cls([_worded(message) for message in worded["messages"]], worded.get("tools"))


@dataclass(frozen=True)
class Tokens:
    """A conversation to learn from. L tokens."""

    ids: list[int]
    """[L], up to the end of the last answer."""
    mask: list[int]
    """[L]: 1 for what the policy said, the mark that ends its turn included."""


def tokens_of(conversation: Conversation, tokenizer: PreTrainedTokenizerBase) -> Tokens:
    """Each answer after the prompt that it would be sampled after: the history, ids for ids, then what was added.

    The template must only ever append, as the demo's does.
    """

    def rendered(messages: list[Message], *, asks: bool) -> list[int]:
        ids: list[int] = tokenizer.apply_chat_template(
            messages, tools=conversation.tools, add_generation_prompt=asks, tokenize=True, return_dict=False
        )
        return ids

    ids: list[int] = []
    mask: list[int] = []
    for index, message in enumerate(conversation.messages):
        if message["role"] != "assistant":
            continue
        prompt = rendered(conversation.messages[:index], asks=True)
        answered = rendered(conversation.messages[: index + 1], asks=False)
        end = len(answered) - answered[::-1].index(tokenizer.eos_token_id)
        assert prompt[: len(ids)] == ids and answered[: len(prompt)] == prompt, "the template re-words its history"
        ids, mask = answered[:end], [*mask, *[0] * (len(prompt) - len(mask)), *[1] * (end - len(prompt))]
    return Tokens(ids, mask)


def _worded(message: Message) -> Message:
    """As the model server words it: text as one string, arguments as objects."""
    worded = dict(message)
    if isinstance(worded.get("content"), list):
        worded["content"] = "".join(str(part["text"]) for part in worded["content"])
    if worded.get("tool_calls"):
        worded["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
            for call in worded["tool_calls"]
        ]
    return worded
