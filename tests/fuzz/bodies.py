"""Made-up bodies: real ones in which something is replaced, removed, added or repeated; and bytes that are no JSON."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

Json = Any
Place = tuple[str | int, ...]

_ODD_TEXTS = (
    *("", " ", "\u0000", "../../etc/passwd", "/etc/passwd", "{{7*7}}", "${oc.env:HOME}", "'; DROP TABLE x; --"),
    *("</think>", "<tool_call>{", "\\boxed{" * 50, "[" * 500, "NaN", "-inf", "1e999", "9" * 400, "💥" * 20, "\ud7ff"),
    *("x" * 20_000, "%s%n", "http://169.254.169.254/", "a\r\nb: c", "__class__", "1" + "0" * 5000),
)
TEXTS = st.one_of(st.text(max_size=40), st.sampled_from(_ODD_TEXTS))
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -1, 1, 2**31, 2**53 + 1, 1e308, -1e308, 5e-324, -0.0]),
)
_DEEP: list[Json] = [[], {}]
for _ in range(80):
    _DEEP = [[_DEEP[0]], {"a": _DEEP[1]}]

VALUES: st.SearchStrategy[Json] = st.one_of(
    st.recursive(
        st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
        max_leaves=8,
    ),
    st.sampled_from(_DEEP).map(copy.deepcopy),
)
NO_JSON = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"", b"{", b"null", b"NaN", b'"\\ud800"', b'{"a":1,"a":2}', b"[" * 100_000, b"1" * 5000, b"\xff\xfe{"]
    ),
)


def places(value: Json, at: Place = ()) -> Iterator[Place]:
    """Where each value of a JSON document stands."""
    yield at
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*at, key))


@st.composite
def spoiled(draw: st.DrawFn, originals: Sequence[Json]) -> bytes:
    """A real body with up to three things wrong in it."""
    body = copy.deepcopy(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 3))):
        # The end of a document, where the answer stands, is as likely as its beginning.
        place = draw(st.sampled_from(list(places(body))))
        body = _changed(
            body, place, draw(st.sampled_from(["replace", "remove", "repeat", "add"])), draw(VALUES), draw(TEXTS)
        )
    return json.dumps(body).encode()


def _changed(body: Json, place: Place, how: str, value: Json, key: str) -> Json:
    if not place:
        return value if how == "replace" else body
    holder = body
    for step in place[:-1]:
        holder = holder[step]
    last = place[-1]
    if how == "remove":
        del holder[last]
    elif how == "repeat" and isinstance(holder, list):
        holder[last:last] = [copy.deepcopy(holder[last]) for _ in range(3)]
    elif how == "add" and isinstance(holder, dict):
        holder[key] = value
    else:
        holder[last] = value
    return body
