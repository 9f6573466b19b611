"""What a row with a math problem tells its environment: the number that answers it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from nemo_gym.parsers.numbers import parse_number


class RewardSpec(BaseModel):
    """Where SkyRL's rows hold the answer."""

    model_config = ConfigDict(extra="allow")

    ground_truth: str


class MathTask(BaseModel):
    """What environments and policies read of a row. Combine it with `BaseRunRequest` or `BaseVerifyRequest`."""

    model_config = ConfigDict(extra="allow")

    expected_answer: str | None = None
    """The number, as `1234` or `$1,234.00`."""
    reward_spec: RewardSpec | None = None
    """In its place, in SkyRL's rows."""
    solution: str = ""
    """Worked, ending in `#### number`; for reference policies and supervised training."""

    @property
    def answer(self) -> str:
        if self.expected_answer is not None:
            return self.expected_answer
        assert self.reward_spec is not None  # one of the two is there
        return self.reward_spec.ground_truth

    @model_validator(mode="before")
    @classmethod
    def _takes_a_number_for_text(cls, row: Any) -> Any:
        expected = row.get("expected_answer") if isinstance(row, dict) else None
        if isinstance(expected, int | float) and not isinstance(expected, bool):
            return {**row, "expected_answer": str(expected)}
        return row

    @model_validator(mode="after")
    def _has_a_number(self) -> MathTask:
        if self.expected_answer is None and self.reward_spec is None:
            raise ValueError("the row needs `expected_answer`, the number, or SkyRL's `reward_spec.ground_truth`")
        if parse_number(self.answer) is None:
            raise ValueError(f"the expected answer {self.answer[:40]!r} is no number")
        return self
