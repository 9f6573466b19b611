"""Tokens of one model call, as model servers that can report them attach them to an output item."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


def is_absent(value: object) -> bool:
    """For `exclude_if`: a field without a value is not written."""
    return value is None


def is_empty(value: list[object]) -> bool:
    """For `exclude_if`: an empty list is not written."""
    return not value


class TokenFields(BaseModel):
    """The token fields: set on the last output item of each model call, all three or none.

    They are prompt, generation and log-probabilities. The prompt is there as a whole (`prompt_token_ids`), or in its
    short form (`prompt_token_ids_kept` and `prompt_token_ids_added`), which tells it by the call before: see
    `prompt_ids`. Clients send the fields back unchanged on that item: they are what the next prompt is built from.
    """

    model_config = ConfigDict(extra="allow", defer_build=True)

    prompt_token_ids: list[int] | None = Field(default=None, exclude_if=is_absent)
    """Ids of the whole prompt of this call, shape [prompt_length]."""
    prompt_token_ids_kept: int | None = Field(default=None, ge=0, exclude_if=is_absent)
    """So many ids this prompt has in common with the beginning of the former call's prompt and generation."""
    prompt_token_ids_added: list[int] | None = Field(default=None, exclude_if=is_absent)
    """Ids of this prompt after those kept, shape [prompt_length - kept]."""
    generation_token_ids: list[int] | None = Field(default=None, exclude_if=is_absent)
    """Ids sampled in this call, shape [generation_length]."""
    generation_log_probs: list[float] | None = Field(default=None, exclude_if=is_absent)
    """Natural-log probability of each sampled id when it was sampled, shape [generation_length], all <= 0."""
    policy_version: int | str | None = Field(default=None, exclude_if=is_absent)
    """The weights that sampled it, as the trainer numbers them."""
    routed_experts: Any = Field(default=None, exclude_if=is_absent)
    """Per-token expert choices of a mixture-of-experts model, as the engine gives them."""

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        short = [self.prompt_token_ids_kept, self.prompt_token_ids_added]
        prompts = [self.prompt_token_ids is not None, all(part is not None for part in short)]
        if any(part is not None for part in short) and prompts != [False, True]:
            raise ValueError(
                "prompt_token_ids_kept and prompt_token_ids_added belong together, in place of prompt_token_ids"
            )
        given = [any(prompts), self.generation_token_ids is not None, self.generation_log_probs is not None]
        if not any(given):
            return self
        if not all(given):
            raise ValueError(
                "prompt_token_ids (or prompt_token_ids_kept and prompt_token_ids_added), generation_token_ids and "
                "generation_log_probs belong together: all three or none"
            )
        if len(self.generation_token_ids or ()) != len(self.generation_log_probs or ()):
            raise ValueError("generation_token_ids and generation_log_probs differ in length")
        return self


TOKEN_KEYS = tuple(TokenFields.model_fields)
"""Names of the token fields."""
