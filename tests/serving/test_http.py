"""The HTTP client against real sockets that misbehave in every way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from nemo_gym.errors import AnswerTooLarge, BadBody, BadStatus, ConnectionLost, DeadlineExceeded, Unreachable
from nemo_gym.serving.http import HttpClient, RetryPolicy, to_json

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
QUICK = RetryPolicy(max_attempts=3, max_elapsed_s=5, base_s=0.01, cap_s=0.02)


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.split(b":")[1]))
    return head


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    http = HttpClient()
    yield http
    await http.close()


def answering(*answers: bytes) -> tuple[Handler, list[bytes]]:
    """A handler that gives the n-th request the n-th answer, and the list of requests it got."""
    seen: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await read_request(reader))
            writer.write(answers[min(len(seen), len(answers)) - 1])
            await writer.drain()

    return handler, seen


async def test_an_answer_comes_with_status_headers_cookies_and_body(client: HttpClient) -> None:
    headers = "Set-Cookie: a=1; Path=/; HttpOnly\r\nSet-Cookie: b=x=y\r\nX-Thing: yes\r\n"
    handler, seen = answering(answer(b'{"a": 1}', headers=headers))
    async with listening(handler) as url:
        got = await client.request("POST", url, json={"q": 1}, cookies={"s": "t", "u": "v"}, headers={"x-id": "7"})
    assert (got.status, got.ok, got.headers["x-thing"], got.cookies) == (200, True, "yes", {"a": "1", "b": "x=y"})
    assert (await got.json(), await got.read(), await got.content.read()) == ({"a": 1}, b'{"a": 1}', b'{"a": 1}')
    head = seen[0].lower()
    assert b"cookie: s=t; u=v" in head and b"x-id: 7" in head and seen[0].endswith(b'{"q":1}')


async def test_a_refused_connection_is_unreachable_and_certainly_not_delivered(client: HttpClient) -> None:
    with pytest.raises(Unreachable) as caught:
        await client.request("POST", "http://127.0.0.1:1/", json={}, retry=QUICK)
    assert (caught.value.delivered, caught.value.attempts) == (False, 3)
    assert str(caught.value) == "http://127.0.0.1:1/: cannot connect: connection refused (3 attempts)"


async def test_an_unknown_host_is_unreachable(client: HttpClient) -> None:
    with pytest.raises(Unreachable):
        await client.request("GET", "http://no-such-host.invalid/")


async def test_a_black_hole_ends_at_the_deadline(client: HttpClient) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with listening(silent) as url:
        with pytest.raises(DeadlineExceeded) as caught:
            await client.request("POST", url, json={}, timeout_s=0.2, retry=QUICK)
    assert caught.value.delivered


async def test_a_body_that_drips_ends_at_the_deadline(client: HttpClient) -> None:
    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with listening(dripping) as url:
        with pytest.raises(DeadlineExceeded):
            await client.request("POST", url, json={}, timeout_s=0.2)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nabc", b"no http at all\r\n\r\n"])
async def test_a_connection_that_breaks_after_the_request_is_not_tried_again(client: HttpClient, sent: bytes) -> None:
    count = 0

    async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await read_request(reader)
        writer.write(sent)
        await writer.drain()

    async with listening(breaking) as url:
        with pytest.raises(ConnectionLost) as caught:
            await client.request("POST", url, json={}, retry=QUICK)
    assert (count, caught.value.delivered) == (1, True)


async def test_a_connection_that_breaks_is_tried_again_where_the_caller_says_it_is_safe(client: HttpClient) -> None:
    handler, seen = answering(answer(b"", "500 Oops"), answer(b"", "500 Oops"), answer(b"1"))
    retry = RetryPolicy(max_attempts=3, base_s=0.01, retry_delivered=True)
    async with listening(handler) as url:
        assert (await client.request("POST", url, json={}, retry=retry)).body == b"1"
    assert len(seen) == 3


@pytest.mark.parametrize("status", ["429 Slow Down", "503 Busy"])
async def test_a_refused_request_is_sent_again_after_retry_after(client: HttpClient, status: str) -> None:
    handler, seen = answering(answer(b"", status, "Retry-After: 0.3\r\n"), answer(b"1"))
    started = time.monotonic()
    async with listening(handler) as url:
        assert (await client.request("POST", url, json={}, retry=QUICK)).body == b"1"
    assert len(seen) == 2 and time.monotonic() - started >= 0.3


async def test_a_refusal_by_who_has_tried_enough_is_not_sent_again(client: HttpClient) -> None:
    handler, seen = answering(answer(b"", "429 Too Many", "X-Should-Retry: false\r\n"))
    async with listening(handler) as url:
        assert (await client.request("POST", url, json={}, retry=QUICK)).status == 429
    assert len(seen) == 1


async def test_endless_refusals_end_with_the_last_answer(client: HttpClient) -> None:
    handler, seen = answering(answer(b"later", "429 Slow Down"))
    async with listening(handler) as url:
        got = await client.request("POST", url, json={}, retry=QUICK)
    assert (got.status, len(seen)) == (429, 3)
    with pytest.raises(BadStatus, match="HTTP 429: later"):
        got.raise_for_status()


async def test_a_retry_after_beyond_the_bound_is_not_waited_for(client: HttpClient) -> None:
    handler, seen = answering(answer(b"", "429 Slow Down", "Retry-After: 3600\r\n"))
    async with listening(handler) as url:
        assert (await client.request("POST", url, json={}, retry=QUICK)).status == 429
    assert len(seen) == 1


async def test_a_server_error_is_an_answer_and_not_sent_again(client: HttpClient) -> None:
    handler, seen = answering(answer(b"broken", "500 Oops"))
    async with listening(handler) as url:
        got = await client.request("POST", url, json={}, retry=QUICK)
    assert (got.status, got.text, len(seen)) == (500, "broken", 1)


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begun", "piece", "says"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n", b"x" * 65536, "more than 100000 bytes"),
        (CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n", "more than 100000 bytes"),
        (b"HTTP/1.1 200 OK\r\nx-padding: ", b"x" * 65536, "the headers of the answer have more than"),
    ],
    ids=["with a length", "without one", "in headers"],
)
async def test_an_answer_without_end_is_not_received_further_than_asked_for(
    client: HttpClient, begun: bytes, piece: bytes, says: str
) -> None:
    gone = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(begun)
        try:
            while True:
                writer.write(piece)
                await writer.drain()
        finally:
            gone.set()

    async with listening(endless) as url:
        with pytest.raises(AnswerTooLarge, match=says):
            await client.request("POST", url, json={}, retry=QUICK, max_bytes=100_000)
        await asyncio.wait_for(gone.wait(), 5)


async def test_an_answer_as_long_as_allowed_is_received(client: HttpClient) -> None:
    handler, _ = answering(answer(b"x" * 1000))
    async with listening(handler) as url:
        assert len((await client.request("POST", url, max_bytes=1000)).body) == 1000


async def test_a_body_that_is_no_json_says_so(client: HttpClient) -> None:
    handler, _ = answering(answer(b"<html>"))
    async with listening(handler) as url:
        with pytest.raises(BadBody, match="<html>"):
            await (await client.request("GET", url)).json()


async def test_cancelling_a_request_closes_its_connection(client: HttpClient) -> None:
    closed = asyncio.Event()

    async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        assert await reader.read() == b""
        closed.set()

    async with listening(waiting) as url:
        task = asyncio.ensure_future(client.request("POST", url, json={}))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait_for(closed.wait(), 2)


async def test_a_stream_arrives_in_pieces(client: HttpClient) -> None:
    async def streaming(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"def")
        await writer.drain()

    async with listening(streaming) as url, client.stream("POST", url, body=b"{}") as stream:
        assert stream.status == 200
        assert [chunk async for chunk in stream] == [b"abc", b"def"]


def test_json_refuses_what_has_no_json_form() -> None:
    with pytest.raises(TypeError, match="not JSON serializable: object"):
        to_json({"a": object()})
