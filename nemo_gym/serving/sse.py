"""Server-sent events: how a stream of JSON objects travels over HTTP, read and written."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import orjson

from nemo_gym.errors import BadBody

MEDIA_TYPE = "text/event-stream"
DONE = b"data: [DONE]\n\n"
"""The end of a stream, as OpenAI marks it."""

_END = "[DONE]"


def sse(data: dict[str, Any], event: str | None = None) -> bytes:
    """One event as bytes, with its name where it has one."""
    name = b"" if event is None else b"event: %s\n" % event.encode()
    return b"%sdata: %s\n\n" % (name, orjson.dumps(data))


async def sse_objects(chunks: AsyncIterable[bytes], url: str) -> AsyncIterator[dict[str, Any]]:
    """The JSON object of each event, until `[DONE]` or the stream's end. Raises `BadBody` for anything else.

    `url`, where the stream comes from, is for the message.
    """
    data: list[bytes] = []
    async for line in _lines(chunks):
        if line.startswith(b"data:"):
            data.append(line[5:].strip())
        elif not line and data:
            payload = b"\n".join(data)
            data = []
            if payload == _END.encode():
                return
            yield _object(payload, url)
    if data and data != [_END.encode()]:
        yield _object(b"\n".join(data), url)


async def _lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.rstrip(b"\r")
    if rest:
        yield rest.rstrip(b"\r")


def _object(payload: bytes, url: str) -> dict[str, Any]:
    try:
        parsed = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        parsed = error
    if isinstance(parsed, dict):
        return parsed
    raise BadBody(f"an event of the stream is no JSON object: {payload[:200]!r}", url=url, delivered=True, body=payload)
