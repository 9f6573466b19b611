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
    """The token triplet: set on the last output item of each model call, all three or none.

    Clients send the fields back unchanged on that item: they are what the next prompt is built from.
    """

    model_config = ConfigDict(extra="allow", defer_build=True)

    prompt_token_ids: list[int] | None = Field(default=None, exclude_if=is_absent)
    """Ids of the whole prompt of this call, shape [prompt_length]."""
    generation_token_ids: list[int] | None = Field(default=None, exclude_if=is_absent)
    """Ids sampled in this call, shape [generation_length]."""
    generation_log_probs: list[float] | None = Field(default=None, exclude_if=is_absent)
    """Natural-log probability of each sampled id when it was sampled, shape [generation_length], all <= 0."""
    routed_experts: Any = Field(default=None, exclude_if=is_absent)
    """Per-token expert choices of a mixture-of-experts model, as the engine gives them."""

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        given = [self.prompt_token_ids, self.generation_token_ids, self.generation_log_probs]
        if all(field is None for field in given):
            return self
        if any(field is None for field in given):
            raise ValueError(
                "prompt_token_ids, generation_token_ids and generation_log_probs belong together: all three or none"
            )
        if len(self.generation_token_ids or ()) != len(self.generation_log_probs or ()):
            raise ValueError("generation_token_ids and generation_log_probs differ in length")
        return self
