"""A model endpoint that breaks as it is told: the text of a request names what it is to do, `fault=reset row=3`."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import orjson

PATIENCE_S = 10.0
_TOLD = re.compile(rb"fault=(\w+) row=(\d+)")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TOOL_OUTPUT = b'"function_call_output"'
BURST = 2
"""So many refusals make a burst."""


class FaultyEndpoint:
    """Counts what it was asked. Its answers are HTTP/1.1 written by hand, since libraries do not break."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        """Requests by what they were to meet: `reset row=3`."""
        self.in_progress = 0
        """Requests that are neither answered nor given up by who sent them."""
        self.url = ""

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_request(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client is gone, or the connection was broken on purpose
        finally:
            writer.close()

    async def _serve_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        told = _TOLD.search(body)
        fault, row = (told[1].decode(), int(told[2])) if told else ("nothing", 0)
        key = f"{fault} row={row}"
        self.calls[key] += 1
        self.in_progress += 1
        answering = asyncio.ensure_future(FAULTS.get(fault, _healthy)(writer, body, self.calls[key]))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                return False
            await answering
            await writer.drain()
            # One request at a time, as all clients here do: what comes before the answer is read is the end.
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone
            return not writer.is_closing()
        finally:
            answering.cancel()
            gone.cancel()
            self.in_progress -= 1


Answer = Callable[[asyncio.StreamWriter, bytes, int], Awaitable[None]]
"""Writes the answer to a request body, which comes for the so-manieth time."""


async def _healthy(writer: asyncio.StreamWriter, body: bytes, attempt: int) -> None:
    writer.write(_http(200, _response(_message("fine"))))


async def _slow(writer: asyncio.StreamWriter, body: bytes, attempt: int) -> None:
    await asyncio.sleep(0.05)
    await _healthy(writer, body, attempt)


async def _silence(writer: asyncio.StreamWriter, body: bytes, attempt: int) -> None:
    await asyncio.sleep(3600)


async def _reset(writer: asyncio.StreamWriter, body: bytes, attempt: int) -> None:
    _reset_connection(writer)


async def _reset_mid_body(writer: asyncio.StreamWriter, body: bytes, attempt: int) -> None:
    answer = _http(200, _response(_message("x" * 20_000)))
    writer.write(answer[: len(answer) // 2])
    await writer.drain()
    await asyncio.sleep(0.05)
    _reset_connection(writer)


async def _closed_mid_body(writer: asyncio.StreamWriter, body: bytes, attempt: int) -> None:
    answer = _http(200, _response(_message("x" * 20_000)))
    writer.write(answer[: len(answer) // 2])
    writer.close()


async def _drip(writer: asyncio.StreamWriter, body: bytes, attempt: int) -> None:
    for byte in _http(200, _response(_message("fine"))):
        writer.write(bytes([byte]))
        await asyncio.sleep(0.2)


async def _endless_body(writer: asyncio.StreamWriter, body: bytes, attempt: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
    piece = b"%x\r\n%b\r\n" % (1 << 20, b" " * (1 << 20))
    while True:
        writer.write(piece)
        await writer.drain()


async def _endless_stream(writer: asyncio.StreamWriter, body: bytes, attempt: int) -> None:
    event = orjson.dumps({"type": "response.output_text.delta", "item_id": "msg_0", "delta": "x" * 10_000})
    piece = b"event: response.output_text.delta\ndata: %b\n\n" % event
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()


async def _huge_body(writer: asyncio.StreamWriter, body: bytes, attempt: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 200000000\r\n\r\n")
    for _ in range(200):
        writer.write(b" " * 1_000_000)
        await writer.drain()


async def _huge_headers(writer: asyncio.StreamWriter, body: bytes, attempt: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-padding: ")
    for _ in range(20):
        writer.write(b"x" * 1_000_000)
        await writer.drain()
    writer.write(b"\r\n\r\n{}")


async def _no_http(writer: asyncio.StreamWriter, body: bytes, attempt: int) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n" + bytes(range(256)))


def _saying(body: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter, request: bytes, attempt: int) -> None:
        writer.write(_http(200, body))

    return answer


def _refusing(status: int, *, times: int | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """Refuses so often, None: for ever."""
    refusal = _http(status, {"error": {"message": f"refused with {status}"}}, headers)

    async def answer(writer: asyncio.StreamWriter, body: bytes, attempt: int) -> None:
        if times is None or attempt <= times:
            writer.write(refusal)
        else:
            await _healthy(writer, body, attempt)

    return answer


def _asking(tool: str) -> Answer:
    """Asks for one call of that tool, then answers."""
    call = {"type": "function_call", "id": "fc_0", "call_id": "call_0", "name": tool, "arguments": "{}"}
    asked = _http(200, _response({**call, "status": "completed"}))

    async def answer(writer: asyncio.StreamWriter, body: bytes, attempt: int) -> None:
        if _TOOL_OUTPUT in body:
            await _healthy(writer, body, attempt)
        else:
            writer.write(asked)

    return answer


def _http(status: int, body: object, headers: Mapping[str, str] | None = None) -> bytes:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"HTTP/1.1 {status} \r\ncontent-type: application/json\r\n{more}content-length: {len(content)}\r\n\r\n"
    return head.encode() + content


def _response(*output: object) -> dict[str, object]:
    usage = {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 10,
    }
    return {
        "id": "resp_0",
        "object": "response",
        "created_at": 1_800_000_000,
        "status": "completed",
        "model": "faulty",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    }


def _message(text: object) -> dict[str, object]:
    said = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_0", "role": "assistant", "status": "completed", "content": [said]}


_WHOLE = orjson.dumps(_response(_message("fine")))

TOOLS = ("raise", "hang", "binary", "huge", "exit")
FAULTS: Mapping[str, Answer] = {
    "nothing": _healthy,
    "slow": _slow,
    "silence": _silence,
    "reset": _reset,
    "reset_mid_body": _reset_mid_body,
    "closed_mid_body": _closed_mid_body,
    "drip": _drip,
    "endless_body": _endless_body,
    "endless_stream": _endless_stream,
    "huge_body": _huge_body,
    "huge_headers": _huge_headers,
    "no_http": _no_http,
    "truncated_json": _saying(_WHOLE[: len(_WHOLE) // 2]),
    "html": _saying(b"<html><body>Bad gateway, probably</body></html>"),
    "no_object": _saying(b"[1, 2, 3]"),
    "wrong_types": _saying(orjson.dumps(_response(_message(12)) | {"output": "fine"})),
    "wrong_items": _saying(orjson.dumps(_response({"type": "masage", "role": "assistant"}))),
    "no_utf8": _saying(_WHOLE.replace(b"fine", b"\xff\xfe\xfd\xfc")),
    "refuses_429_burst": _refusing(429, times=BURST),
    "refuses_429_burst_politely": _refusing(429, times=1, headers={"retry-after": "1"}),
    "refuses_429_for_an_hour": _refusing(429, headers={"retry-after": "3600"}),
    "refuses_429": _refusing(429),
    "refuses_500_burst": _refusing(500, times=BURST),
    "refuses_500": _refusing(500),
    "refuses_502_burst": _refusing(502, times=BURST),
    "refuses_502": _refusing(502),
    "refuses_503_burst": _refusing(503, times=BURST),
    "refuses_503": _refusing(503),
    **{f"calls_{tool}": _asking(tool) for tool in TOOLS},
}


def _reset_connection(writer: asyncio.StreamWriter) -> None:
    """Close it so that the other side gets a reset, not an end."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def faulty_endpoint() -> Iterator[FaultyEndpoint]:
    """One that runs in a thread of its own."""
    endpoint = FaultyEndpoint()
    loop = asyncio.new_event_loop()
    starting = asyncio.start_server(endpoint.serve_connection, "127.0.0.1", 0, limit=1 << 20, backlog=1024)
    server = loop.run_until_complete(starting)
    endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    thread = threading.Thread(target=loop.run_forever, name="faulty endpoint", daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(PATIENCE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def black_hole() -> Iterator[str]:
    """A base URL at which connections are never accepted: its queue is full, so that even the first packet is lost."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(8)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            yield f"http://127.0.0.1:{address[1]}/v1"
        finally:
            for filler in fillers:
                filler.close()
