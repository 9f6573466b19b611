"""Numbers compared by value: `$1,234.00` is `1234`, `0.5` is `1/2`."""

from __future__ import annotations

from fractions import Fraction

from nemo_gym.parsers.numbers import parse_number


def numbers_equal(
    answer: str | Fraction | None,
    expected: str | Fraction,
    *,
    tolerance: float = 0.0,
    percent_as_fraction: bool = False,
) -> bool:
    """Whether two numbers have the same value; exactly so with `tolerance` 0.

    Text is read by `parsers.numbers.parse_number`; an answer that is no number equals nothing. `tolerance` is relative
    to the expected number. Raises `ValueError` where `expected` is no number: that is a mistake of the row.
    """
    if isinstance(expected, str):
        number = parse_number(expected, percent_as_fraction=percent_as_fraction)
        if number is None:
            raise ValueError(f"the expected answer {expected[:80]!r} is no number")
        expected = number
    if isinstance(answer, str):
        answer = parse_number(answer, percent_as_fraction=percent_as_fraction)
    return answer is not None and abs(answer - expected) <= Fraction(tolerance) * abs(expected)
