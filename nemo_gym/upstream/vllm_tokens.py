"""Token fields from vLLM: how a chat request asks for them, and how its answer's become the triplet on each message.

vLLM gives ids as `prompt_token_ids` of the answer and `token_ids` of a choice (`return_token_ids`, from 0.10.2). Before
that the ids of what it wrote stand in the log-probs, as `token_id:123` (`return_tokens_as_token_ids`).
"""

from __future__ import annotations

import math
from typing import Any

from nemo_gym.errors import ConversionError

Json = dict[str, Any]

_ID_PREFIX = "token_id:"
_WITHOUT_TOKENS = "the endpoint gave no token ids: `return_token_id_information` needs vLLM 0.10.2 or newer"


def asking_for_tokens(params: Json) -> Json:
    """The same chat request, which also asks for ids and log-probs."""
    asking: Json = {**params, "logprobs": True, "return_token_ids": True}
    # Where the caller wants log-probs too, their tokens must stay the text that they are.
    return asking if params.get("logprobs") else {**asking, "return_tokens_as_token_ids": True}


def needs_prompt_ids(completion: Json) -> bool:
    """Whether the answer lacks the prompt's ids, so that the prompt must be tokenized for them."""
    if completion.get("prompt_token_ids") is not None:
        return False
    return any(not _has_triplet(choice.get("message") or {}) for choice in completion.get("choices") or ())


def has_triplet(completion: Json) -> bool:
    """Whether the endpoint put the triplet on the message itself, as a trainer's does that corrects prompts by it."""
    choices = completion.get("choices") or ()
    return bool(choices) and all(_has_triplet(choice.get("message") or {}) for choice in choices)


def tokenize_request(params: Json) -> Json:
    """The request to `/tokenize` for the prompt of a chat request."""
    same = ("model", "messages", "tools", "chat_template", "chat_template_kwargs", "continue_final_message")
    request = {name: params[name] for name in same if params.get(name) is not None}
    return {**request, "add_generation_prompt": params.get("add_generation_prompt", True)}


def with_triplets(completion: Json, *, keep_logprobs: bool) -> Json:
    """The chat answer with the triplet on each choice's message, and vLLM's own fields for it left out.

    A message that has it already (a trainer's own vLLM puts it there) stays as it is. Raises `ConversionError` where
    ids are missing, or do not go with the log-probs.
    """
    prompt_ids = completion.get("prompt_token_ids")
    choices = [
        _with_triplet(choice, prompt_ids, keep_logprobs=keep_logprobs) for choice in completion.get("choices") or ()
    ]
    rest = {key: value for key, value in completion.items() if key != "prompt_token_ids"}
    return {**rest, "choices": choices}


def _with_triplet(choice: Json, prompt_ids: list[int] | None, *, keep_logprobs: bool) -> Json:
    message: Json = choice.get("message") or {}
    if not _has_triplet(message):
        sampled = (choice.get("logprobs") or {}).get("content") or []
        ids = choice.get("token_ids")
        message = {
            **message,
            "prompt_token_ids": prompt_ids,
            "generation_token_ids": ids if ids is not None else [id_of(token["token"]) for token in sampled],
            "generation_log_probs": [token["logprob"] for token in sampled],
        }
        if choice.get("routed_experts") is not None:
            message["routed_experts"] = choice["routed_experts"]
        _check(message)
    gone = {"token_ids", "routed_experts"} if keep_logprobs else {"token_ids", "routed_experts", "logprobs"}
    return {**{key: value for key, value in choice.items() if key not in gone}, "message": message}


def _has_triplet(message: Json) -> bool:
    return message.get("generation_token_ids") is not None


def id_of(text: str) -> int:
    """The id of a sampled token that is named by it. Raises `ConversionError` where it is not."""
    if not text.startswith(_ID_PREFIX):
        raise ConversionError(_WITHOUT_TOKENS)
    return int(text.removeprefix(_ID_PREFIX))


def _check(message: Json) -> None:
    ids, log_probs = message["generation_token_ids"], message["generation_log_probs"]
    if message["prompt_token_ids"] is None or (not ids and (message.get("content") or message.get("tool_calls"))):
        raise ConversionError(_WITHOUT_TOKENS)
    if len(ids) != len(log_probs):
        raise ConversionError(f"{len(ids)} generated token ids came with {len(log_probs)} log-probs")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in log_probs):
        raise ConversionError("a log-prob is no finite number")
