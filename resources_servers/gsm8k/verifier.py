"""GSM8K verifier: is the number after `####` the expected one?"""

from __future__ import annotations

from nemo_gym.scoring.hash_answer import HashGrade, grade_hash_answer, grade_hash_answer_literally


def grade_answer(text: str, expected: str, *, strict_skyrl: bool = False) -> HashGrade:
    """The last `#### number` of `text` by value; with `strict_skyrl` the first as text, as skyrl-gym 0.4.0 reads it.

    Raises `ValueError` where `expected` is no number, except with `strict_skyrl`, which takes it for text.
    """
    return (grade_hash_answer_literally if strict_skyrl else grade_hash_answer)(text, expected)
