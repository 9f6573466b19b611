"""The answers that a row accepts, wherever its data set holds them."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

Answers = str | list[str]


class GroundTruth(BaseModel):
    """What Search-R1's and SkyRL's rows hold."""

    model_config = ConfigDict(extra="allow")

    target: Answers


class RewardSpec(BaseModel):
    model_config = ConfigDict(extra="allow")

    ground_truth: GroundTruth


class SearchTask(BaseModel):
    """The part of a row that says what is right: the first of these fields that is there."""

    model_config = ConfigDict(extra="allow")

    expected_answer: Answers | None = None
    golden_answers: Answers | None = None
    reward_spec: RewardSpec | None = None
    """As SkyRL writes it."""
    reward_model: RewardSpec | None = None
    """As Search-R1 and verl write it."""

    @model_validator(mode="after")
    def _has_answers(self) -> Self:
        if not self.accepted_answers:
            raise ValueError(
                "the row has no answer: give `expected_answer`, `golden_answers` or `reward_spec.ground_truth.target`"
            )
        return self

    @property
    def accepted_answers(self) -> list[str]:
        """All answers that count as right; blank ones left out."""
        spec = self.reward_spec or self.reward_model
        candidates: list[Any] = [self.expected_answer, self.golden_answers, spec and spec.ground_truth.target]
        answers = next((one for one in candidates if one is not None), [])
        return [one for one in ([answers] if isinstance(answers, str) else answers) if one.strip()]
