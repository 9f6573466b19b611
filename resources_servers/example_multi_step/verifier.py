"""Synonym verifier: were the values of the right synonyms extracted, all of them and in the right order?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson


def synonym_value(synonym: str) -> int:
    """The sum of the character codes: `Hot` is 72 + 111 + 116 = 299."""
    return sum(map(ord, synonym))


@dataclass(frozen=True)
class SynonymScore:
    """How the extracted values compare with the expected ones."""

    accuracy: bool
    """The same values in the same order."""
    set_overlap: float
    """Share of the expected values that were extracted, in any order."""
    original_term_minefield_hit: bool
    """The value of the term itself was extracted, although only its synonyms were wanted."""
    order_instruction_following_failure: bool
    """The right values in the wrong order."""

    @property
    def reward(self) -> float:
        return float(self.accuracy)


def parse_values(calls: Sequence[tuple[str, str]]) -> list[int]:
    """Values of the last `extract_synonym_values` call, given as (tool name, arguments as JSON text) pairs.

    Empty if there is no such call or its arguments are not a list of integers.
    """
    arguments = next((text for name, text in reversed(calls) if name == "extract_synonym_values"), "")
    try:
        parsed = orjson.loads(arguments)
    except ValueError:
        return []
    values = parsed.get("synonym_values") if isinstance(parsed, dict) else None
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        return []
    return values


def score(values: Sequence[int], expected: Sequence[int], minefield_value: int) -> SynonymScore:
    """Compare extracted and expected values; `minefield_value` is that of the term itself."""
    right = list(values) == list(expected)
    return SynonymScore(
        accuracy=right,
        set_overlap=len(set(values) & set(expected)) / len(set(expected)) if expected else float(not values),
        original_term_minefield_hit=minefield_value in values and minefield_value not in expected,
        order_instruction_following_failure=not right and sorted(values) == sorted(expected),
    )
