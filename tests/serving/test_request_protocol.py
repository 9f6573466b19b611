"""Requests whose head has no end are refused with 431, whole or not; all others are read as ever."""

from __future__ import annotations

import asyncio

import pytest

from nemo_gym.serving.request_protocol import MAX_HEAD_BYTES
from tests.local_app import running_app
from tests.serving.test_gate import app_behind_gate

HEAD = b"GET / HTTP/1.1\r\nhost: here\r\n"
TOO_LONG = {
    "one header": HEAD + b"x: " + b"y" * MAX_HEAD_BYTES + b"\r\n\r\n",
    "many headers": HEAD + b"".join(b"x-%d: y\r\n" % number for number in range(MAX_HEAD_BYTES // 8)) + b"\r\n",
    "a header without end": HEAD + b"x: " + b"y" * (4 * MAX_HEAD_BYTES),
    "a name without end": HEAD + b"y" * (4 * MAX_HEAD_BYTES),
    "a URL": b"GET /" + b"y" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nhost: here\r\n\r\n",
}


async def answer_to(request: bytes, *, pause_after: int = 0) -> bytes:
    """All that the server sends until it closes the connection; `pause_after` bytes it gets the rest."""
    async with running_app(app_behind_gate(token=None)) as url, asyncio.timeout(30):
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for part in (request[:pause_after], request[pause_after:]):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.05)
        try:
            return await reader.read()
        finally:
            writer.close()


@pytest.mark.parametrize("pause_after", [0, 1000])
@pytest.mark.parametrize("request_bytes", TOO_LONG.values(), ids=TOO_LONG.keys())
async def test_a_head_that_is_too_long_is_refused(request_bytes: bytes, pause_after: int) -> None:
    answer = await answer_to(request_bytes, pause_after=pause_after)
    assert answer.startswith(b"HTTP/1.1 431 ") and b"headers_too_large" in answer


async def test_long_bodies_and_many_requests_on_a_connection_are_no_long_heads() -> None:
    head = b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 900\r\n\r\n"
    one = head + b"x" * 900
    last = one.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    answer = await answer_to(one * (3 * MAX_HEAD_BYTES // len(one)) + last, pause_after=len(head) // 2)
    assert answer.count(b"HTTP/1.1 200 ") == 3 * MAX_HEAD_BYTES // len(one) + 1


async def test_what_is_no_http_is_refused_as_such() -> None:
    assert (await answer_to(b"\x00\x01\x02\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
