"""vLLM's completions API, which takes prompts of ids: a chat request's sampling goes there, and log-probs come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nemo_gym.errors import EngineRefusedError
from nemo_gym.serving.error_answers import error_response
from nemo_gym.upstream.vllm_tokens import id_of

Json = dict[str, Any]

_ONLY_IN_CHAT = frozenset(
    {
        "messages",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "add_generation_prompt",
        "continue_final_message",
        "chat_template",
        "chat_template_kwargs",
        "documents",
        "reasoning_effort",
        "verbosity",
        "include_reasoning",
        "max_completion_tokens",
        "top_logprobs",
        "stream",
        "stream_options",
        "metadata",
        "store",
        "modalities",
        "n",
    }
)
"""Fields of a chat request that shape its prompt, or the wording of its answer. All others sample, here as there."""


def completion_request(request: Json, prompt_ids: Sequence[int], max_tokens: int) -> Json:
    """The completions request that samples as the chat request asks to, after `prompt_ids`.

    Refuses a tool choice that forces a call: only vLLM's chat parsers know the grammar for it.
    """
    if forces_a_call(request):
        raise not_by_ids(
            f"`tool_choice: {request['tool_choice']}`: this vLLM keeps to itself how its model writes calls; start it "
            "with `--enable-scale-out` (from 0.32), or ask with `tool_choice: auto`"
        )
    same = {key: value for key, value in request.items() if key not in _ONLY_IN_CHAT}
    return {
        **same,
        "prompt": prompt_ids,
        "max_tokens": max_tokens,
        "logprobs": wanted_logprobs(request),
        "return_token_ids": True,
        # For vLLM before 0.10.2. Where the caller wants log-probs too, their tokens must stay the text that they are.
        "return_tokens_as_token_ids": not request.get("logprobs"),
        # Markup of calls and reasoning may be special tokens; what is read later must have it.
        "skip_special_tokens": False,
    }


def not_by_ids(message: str) -> EngineRefusedError:
    """HTTP 400: the request says something that cannot be said where prompts are ids."""
    refused = error_response(400, "invalid_request", message)
    return EngineRefusedError(refused.status_code, bytes(refused.body))


def forces_a_call(request: Json) -> bool:
    """Whether the model is to call a tool, whatever it would rather write."""
    return bool(request.get("tools")) and request.get("tool_choice") not in (None, "auto", "none")


def wanted_logprobs(request: Json) -> int:
    """So many alternatives to each sampled id the request wants to see; 0 gives the sampled ones' log-probs alone."""
    return request.get("top_logprobs") or 0 if request.get("logprobs") else 0


def sampled_log_probs(logprobs: Json | None) -> list[float]:
    """Shape [G]: of each sampled id, from the `logprobs` of a completions choice."""
    return list((logprobs or {}).get("token_logprobs") or ())


def ids_in_logprobs(logprobs: Json | None) -> list[int]:
    """Shape [G]: the sampled ids, where tokens of `logprobs` are named by them. Raises `ConversionError` otherwise."""
    return [id_of(token) for token in (logprobs or {}).get("tokens") or ()]


def chat_logprobs(logprobs: Json | None) -> Json:
    """The `logprobs` of a completions choice as those of a chat choice."""
    given = logprobs or {}
    tokens, values = given.get("tokens") or [], given.get("token_logprobs") or []
    alternatives = given.get("top_logprobs") or [None] * len(tokens)
    content = [
        {**_token(token, value), "top_logprobs": [_token(*entry) for entry in (others or {}).items()]}
        for token, value, others in zip(tokens, values, alternatives, strict=True)
    ]
    return {"content": content, "refusal": None}


def _token(token: str, value: float) -> Json:
    return {"token": token, "logprob": value, "bytes": list(token.encode())}
