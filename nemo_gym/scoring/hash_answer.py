"""Answers written as `#### number`, as in GSM8K, held against the expected number."""

from __future__ import annotations

from dataclasses import dataclass

from nemo_gym.parsers.numbers import last_hash_answer, literal_hash_answer
from nemo_gym.scoring.number_match import numbers_equal


@dataclass(frozen=True)
class HashGrade:
    """What was found in one answer."""

    answer: str | None
    """The number as it was read; None: the text has no answer in this form."""
    correct: bool

    @property
    def well_formed(self) -> bool:
        return self.answer is not None


def grade_hash_answer(text: str, expected: str) -> HashGrade:
    """The last `#### number` of the text, compared by value. Raises `ValueError` where `expected` is no number."""
    answer = last_hash_answer(text)
    return HashGrade(None if answer is None else str(answer), numbers_equal(answer, expected))


def grade_hash_answer_literally(text: str, expected: str) -> HashGrade:
    """The first `#### ` followed by figures, compared as text: the rule of SkyRL's and verl's GSM8K rewards."""
    answer = literal_hash_answer(text)
    return HashGrade(answer, answer == expected)
