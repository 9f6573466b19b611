"""Server-sent events: written, cut anywhere, read again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from nemo_gym.errors import BadBody
from nemo_gym.serving.sse import DONE, sse, sse_objects

Json = dict[str, Any]
OBJECTS: list[Json] = [{"text": "a\nb\r\n"}, {"text": "ü"}, {}]


async def read(stream: bytes, size: int) -> list[Json]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(stream), size):
            yield stream[start : start + size]

    return [one async for one in sse_objects(pieces(), "http://x")]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
async def test_events_are_read_however_they_are_cut(size: int) -> None:
    stream = b"".join(sse(one, "name") for one in OBJECTS)
    assert await read(stream + DONE + sse({"after": "the end"}), size) == OBJECTS


async def test_comments_other_line_ends_and_a_missing_end_are_read() -> None:
    assert await read(b': ping\r\n\r\ndata: {"a":\r\ndata: 1}\r\n\r\ndata:{"b": 2}', 5) == [{"a": 1}, {"b": 2}]


async def test_what_is_no_json_object_is_named() -> None:
    with pytest.raises(BadBody, match=r"no JSON object: b'\[1\]'"):
        await read(b"data: [1]\n\n", 100)
