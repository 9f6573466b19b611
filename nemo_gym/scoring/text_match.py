"""Short answers compared as words: exact match and token F1, after the normalising that SQuAD made customary."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")


def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation, without the articles a, an, the, and with single spaces."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(answer: str, expected: str | Iterable[str]) -> bool:
    """Whether the normalised answer is (one of) the normalised expected ones."""
    return any(normalize_answer(answer) == normalize_answer(one) for one in _each(expected))


def contains_match(answer: str, expected: str | Iterable[str]) -> bool:
    """Whether (one of) the normalised expected answers stands within the normalised answer."""
    return any(normalize_answer(one) in normalize_answer(answer) for one in _each(expected))


def token_f1(answer: str, expected: str | Iterable[str]) -> float:
    """F1 of the normalised words, 0.0 to 1.0; the best over several expected answers, 0.0 without any.

    Words count as often as they stand there. Two answers without words are equal (1.0); one without is not (0.0).
    """
    return max(
        (_f1(normalize_answer(answer).split(), normalize_answer(one).split()) for one in _each(expected)), default=0.0
    )


def _f1(answer: list[str], expected: list[str]) -> float:
    if not answer or not expected:
        return float(answer == expected)
    num_common = (Counter(answer) & Counter(expected)).total()
    return 2 * num_common / (len(answer) + len(expected))


def _each(expected: str | Iterable[str]) -> Iterable[str]:
    return (expected,) if isinstance(expected, str) else expected
