"""The nearest right name for a wrong one, and how an error mentions it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_LISTED = 12


def nearest(name: str, candidates: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The candidate most like `name`, or None if none is at least `cutoff` (0–1) alike. Case does not count."""
    by_folded = {candidate.casefold(): candidate for candidate in sorted(candidates, reverse=True)}
    found = difflib.get_close_matches(name.casefold(), list(by_folded), n=1, cutoff=cutoff)
    return by_folded[found[0]] if found else None


def suggestion(name: str, candidates: Iterable[str], *, kind: str) -> str:
    """What to write instead of `name`: the nearest candidate, else the few there are, else that there are none.

    `kind` names the candidates in the plural: "servers" gives "servers are `a`, `b`".
    """
    names = sorted(set(candidates))
    best = nearest(name, names)
    if best is not None:
        return f"did you mean `{best}`?"
    if not names:
        return f"there are no {kind}"
    listed = ", ".join(f"`{each}`" for each in names[:MAX_LISTED])
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"{kind} are {listed}{more}"
