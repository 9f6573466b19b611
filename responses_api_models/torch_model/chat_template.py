"""The model's chat template and tokenizer: chat requests as prompt ids, sampled ids as chat messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from nemo_gym.ledger.chat_markup import read_chat_markup

Json = dict[str, Any]

MARKUP = frozenset({"<think>", "</think>", "<tool_call>", "</tool_call>"})
"""Tokens that are read even where the tokenizer calls them special."""


class ChatTemplate:
    """Pure: no call changes anything, so several threads may use it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, end_ids: frozenset[int]) -> None:
        """`end_ids`: those that end an answer; they are no part of its text."""
        self._tokenizer = tokenizer
        self._knows_developer = "developer" in str(tokenizer.chat_template)
        self._unsaid = end_ids | frozenset(
            token
            for token, text in zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)
            if text not in MARKUP
        )
        # The first call undoes truncation and padding that a tokenizer's file may ask for; later ones only read.
        self.encode("")

    def render(self, request: Json) -> list[int]:
        """Prompt ids of a chat request. Raises ValueError where the template refuses it."""
        continues = request.get("continue_final_message") is True
        try:
            ids: list[int] = self._tokenizer.apply_chat_template(
                [self._message(message) for message in request["messages"]],
                tools=request.get("tools") or None,
                add_generation_prompt=not continues and request.get("add_generation_prompt") is not False,
                continue_final_message=continues,
                tokenize=True,
                return_dict=False,
                **(request.get("chat_template_kwargs") or {}),
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            raise ValueError(f"the chat template cannot word these messages: {error}") from error
        return ids

    def encode(self, text: str) -> list[int]:
        """Ids of plain text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens included."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    def read(self, ids: Sequence[int], stops: Sequence[str], *, tools_declared: bool) -> Json:
        """The chat message that was sampled, up to the first stop string."""
        text = self.decode([token for token in ids if token not in self._unsaid])
        end = min((place for place in map(text.find, stops) if place >= 0), default=None)
        return read_chat_markup(text[:end], tools_declared)

    def logprobs(self, ids: Sequence[int], log_probs: Sequence[float]) -> Json:
        """`logprobs` of a chat answer."""
        content = []
        for token, log_prob in zip(ids, log_probs, strict=True):
            text = self.decode([token])
            told = {"token": text, "logprob": log_prob, "bytes": list(text.encode()), "top_logprobs": []}
            content.append(told)
        return {"content": content, "refusal": None}

    def _message(self, message: Json) -> Json:
        """As templates expect it: text as one string, arguments as objects."""
        worded = dict(message)
        content = worded.get("content")
        if isinstance(content, list):
            worded["content"] = "".join(str(part["text"]) for part in content)
        if worded["role"] == "developer" and not self._knows_developer:
            worded["role"] = "system"
        if worded.get("tool_calls"):
            worded["tool_calls"] = [_with_object(call) for call in worded["tool_calls"]]
        return worded


def _with_object(call: Json) -> Json:
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"])
    except (TypeError, ValueError):
        return call  # what the model wrote is no JSON: the template gets it as it is
    if not isinstance(arguments, dict):
        return call
    return {**call, "function": {**function, "arguments": arguments}}
