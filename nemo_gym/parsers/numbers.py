"""Numbers in a text, as exact fractions: `#### 1,234`, `$18.00`, `-3/4`, `50%`, and the last number of all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

MAX_DIGITS = 100
"""A number written with more digits, or with an exponent beyond it, is taken for none."""

_NUMBER = re.compile(
    r"""
    [$€£¥]?
    (?P<sign> (?<![\w.)\]}]) [-+−] )?             # not the minus of `5-3`
    [$€£¥]?
    (?P<whole> [0-9]{1,3} (?: ,[0-9]{3} )+ (?![0-9]) | [0-9]+ )?
    (?P<decimals> \.[0-9]+ )?
    (?(whole) | (?(decimals) | (?!) ))            # at least one of the two
    (?P<exponent> [eE][-+]?[0-9]+ )?
    (?: [ ]?/[ ]? (?P<divisor> [0-9]+ ) (?! \.?[0-9] ) )?
    (?P<percent> [ ]?% )?
    """,
    re.VERBOSE,
)
_MARK = "####"
_LITERAL = re.compile(r"#### (-?[0-9.,]+)")


@dataclass(frozen=True)
class WrittenNumber:
    """One number as a text writes it."""

    value: Fraction
    text: str
    percent: bool
    """Whether `%` follows; `value` is then the number before it, 50 for `50%`."""
    start: int
    end: int


def find_numbers(text: str) -> Iterator[WrittenNumber]:
    """The numbers of a text from left to right.

    Read as one: thousands set off by commas (`1,234,567`), a currency sign before it, `%` after it, decimals with or
    without a figure before the point, an exponent, a division by a whole number (`3/4`). A point that ends a sentence
    does not belong to the number. Passed over: what is written with more than `MAX_DIGITS` digits, a division by zero.
    """
    for match in _NUMBER.finditer(text):
        value = _value(match)
        if value is not None:
            yield WrittenNumber(value, match.group(), bool(match.group("percent")), match.start(), match.end())


def parse_number(text: str, *, percent_as_fraction: bool = False) -> Fraction | None:
    """The value of a text that is one number and nothing else but space, or a point at its end; None otherwise.

    `50%` is 50, the sign being taken for a unit, or 1/2 with `percent_as_fraction`.
    """
    stripped = text.strip().removesuffix(".")
    match = _NUMBER.fullmatch(stripped)
    value = _value(match) if match is not None else None
    if match is not None and value is not None and match.group("percent") and percent_as_fraction:
        return value / 100
    return value


def last_number(text: str) -> Fraction | None:
    """The last number of a text; None if it has none."""
    value = None
    for number in find_numbers(text):
        value = number.value
    return value


def hash_answers(text: str) -> list[Fraction]:
    """The numbers that stand after `####`, one for each line that has the mark and can be read, in order.

    The number is the first thing after the mark, up to emphasis and currency signs (`**$18**`); words may follow on the
    line, but no other number: who names two has not answered. A heading such as `#### Step 2` is no answer.
    """
    answers = []
    for line in text.splitlines():
        _, mark, rest = line.rpartition(_MARK)
        if not mark:
            continue
        rest = rest.lstrip(" \t*_`:=\\(")
        numbers = [number for number, _ in zip(find_numbers(rest), range(2), strict=False)]
        if len(numbers) == 1 and numbers[0].start == 0:
            answers.append(numbers[0].value)
    return answers


def first_hash_answer(text: str) -> Fraction | None:
    """The first of `hash_answers`; None if there is none."""
    answers = hash_answers(text)
    return answers[0] if answers else None


def last_hash_answer(text: str) -> Fraction | None:
    """The last of `hash_answers`; None if there is none."""
    answers = hash_answers(text)
    return answers[-1] if answers else None


def literal_hash_answer(text: str) -> str | None:
    """What stands after the first `#### ` in figures, points and commas, maybe with a minus, the commas left out.

    None if nothing does. This is text, to be compared as text: `18.` is not `18`. Public GSM8K rewards read so.
    """
    match = _LITERAL.search(text)
    return match.group(1).replace(",", "") if match is not None else None


def _value(match: re.Match[str]) -> Fraction | None:
    whole = (match.group("whole") or "").replace(",", "")
    decimals, exponent = match.group("decimals") or "", match.group("exponent") or ""
    divisor = match.group("divisor") or "1"
    if len(whole) + len(decimals) + len(divisor) > MAX_DIGITS:
        return None
    if exponent and (len(exponent) > 5 or abs(int(exponent[1:])) > MAX_DIGITS):
        return None
    if int(divisor) == 0:
        return None
    # Reading text is the slowest part of a fraction, and most numbers are whole.
    written = f"{whole or '0'}{decimals}{exponent}"
    value = (Fraction(written) if decimals or exponent else Fraction(int(written))) / int(divisor)
    return -value if match.group("sign") in ("-", "−") else value
