"""Weather verifier: did the answer rest on the weather of exactly the cities that were asked about?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson


def asked_cities(calls: Iterable[tuple[str, str]]) -> list[str]:
    """Cities of the `get_weather` calls, given as (tool name, arguments as JSON text); broken ones are left out."""
    cities = []
    for name, arguments in calls:
        try:
            parsed = orjson.loads(arguments) if name == "get_weather" else None
        except ValueError:
            continue
        if isinstance(parsed, dict) and isinstance(parsed.get("city"), str):
            cities.append(parsed["city"])
    return cities


def reward(cities: Sequence[str], answer: str, expected_cities: Sequence[str] | None) -> float:
    """1.0 if there is an answer and the tool was asked about the expected cities and no others, else 0.0.

    Where the row expects no cities in particular (None), any answer earns 1.0.
    """
    if not answer.strip():
        return 0.0
    return float(expected_cities is None or _plain(cities) == _plain(expected_cities))


def _plain(cities: Sequence[str]) -> set[str]:
    return {" ".join(city.casefold().split()) for city in cities}
