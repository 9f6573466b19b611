"""The numbers of one verify answer, flat: `reward`, `reward_components/format`, `usage/input_tokens`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nemo_gym.schemas.rollout import AGENT_REF

_NO_METRIC = frozenset({AGENT_REF, "responses_create_params", "response", "turns"})
LARGEST = 1e150
"""Squares of larger numbers, which standard deviations are made of, are beyond the range of floats."""
_MEASUREMENTS = ("usage/", "timings/")


def numeric_fields(verify_response: Mapping[str, Any]) -> dict[str, float]:
    """Each numeric field of a verify answer by its path.

    - A bool counts as 1.0 or 0.0. NaN, infinities and what is beyond `LARGEST` count as missing.
    - A nested object counts only if all its leaves are numbers, bools or null (`reward_components`, `usage`,
      `timings`); its paths are joined by `/`. An object that holds text is the environment's own data and is left out,
      as are lists.
    - `usage` is the answer's own, else that of its `response`.
    - Reserved keys (`_ng_*`, `agent_ref`) and the bodies (`responses_create_params`, `response`, `turns`) are left out.
    """
    found: dict[str, float] = {}
    for key, value in verify_response.items():
        if key not in _NO_METRIC and not key.startswith("_ng_"):
            _collect(key, value, found)
    if "usage" not in verify_response:
        response = verify_response.get("response")
        if isinstance(response, Mapping):
            _collect("usage", response.get("usage"), found)
    return found


def is_score(path: str, values: list[float]) -> bool:
    """Whether pass@k of this field means something: the reward, its components, and whatever is only ever 0 or 1."""
    if path == "reward" or path.startswith("reward_components/"):
        return True
    return not path.startswith(_MEASUREMENTS) and all(value in (0.0, 1.0) for value in values)


def _collect(path: str, value: object, found: dict[str, float]) -> None:
    if not all(leaf is None or isinstance(leaf, bool | int | float) for leaf in _leaves(value)):
        return
    # No recursion, here and below: JSON may be nested deeper than Python calls.
    waiting = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(f"{path}/{key}", child) for key, child in reversed(list(value.items()))]
        elif isinstance(value, bool | int | float):
            number = _finite(value)
            if number is not None:
                found[path] = number


def _leaves(value: object) -> Iterator[object]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            waiting += one.values()
        else:
            yield one


def _finite(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:  # an integer beyond the range of floats
        return None
    return number if abs(number) <= LARGEST else None  # NaN is not, either
