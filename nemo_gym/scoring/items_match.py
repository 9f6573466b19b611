"""Lists of answers compared: in order, or as sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable

from nemo_gym.scoring.text_match import normalize_answer


def same_items(
    answer: Iterable[str],
    expected: Iterable[str],
    *,
    ordered: bool = False,
    count_repeats: bool = True,
    key: Callable[[str], Hashable] = normalize_answer,
) -> bool:
    """Whether both list the same items.

    Items are equal if `key` makes the same of them. With `ordered` they must come in the same order; else order does
    not matter, and neither do repeats with `count_repeats=False`.
    """
    given, wanted = [key(item) for item in answer], [key(item) for item in expected]
    if ordered:
        return given == wanted
    return Counter(given) == Counter(wanted) if count_repeats else set(given) == set(wanted)
