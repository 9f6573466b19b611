"""A token engine: token ids in, token ids out. What a model server implements to have the ledger keep its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Json = dict[str, Any]


@dataclass(frozen=True)
class Generation:
    """What one call of an engine sampled."""

    ids: list[int]
    """Shape [G], G >= 0; a sampled end-of-sequence is part of it."""
    log_probs: list[float]
    """Shape [G]: ln p of each id under the distribution that it was drawn from."""
    finish_reason: str
    """`stop`, `length`, or an engine's own word."""
    policy_version: int | str | None = None
    """The weights that sampled it; None where the engine cannot tell."""
    logprobs: Json | None = None
    """`logprobs` of the chat answer, where the request asked for them."""
    routed_experts: Any = None
    """Per-token expert choices of a mixture-of-experts model, as the engine gives them."""


class TokenEngine(Protocol):
    """One model. Every method raises `EngineRefusedError` for a request that it refuses.

    `request` is a chat request as plain JSON, with its `messages`.
    """

    async def render(self, request: Json) -> list[int]:
        """Prompt ids of `messages` and `tools` by the model's chat template.

        Heeds `chat_template_kwargs`, `add_generation_prompt` (default true) and `continue_final_message`.
        """
        ...

    async def encode(self, text: str) -> list[int]:
        """Ids of plain text, without any that stand for structure."""
        ...

    async def generate(self, prompt_ids: Sequence[int], request: Json, rollout_key: str) -> Generation:
        """Sample a continuation of the prompt with the request's sampling parameters.

        `max_tokens` is not more than what the context has left. Calls of one `rollout_key` best go to one replica.
        """
        ...

    async def read(self, generation: Generation, request: Json) -> Json:
        """What was generated as a chat message: `content`, `reasoning_content`, `tool_calls`, `role: assistant`."""
        ...

    async def context_length(self) -> int | None:
        """Longest prompt and generation together, in ids; None where that is not known."""
        ...
