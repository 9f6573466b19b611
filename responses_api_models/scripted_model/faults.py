"""Faults on purpose: a share of the answers goes wrong, in the ways in which engines and networks do."""

from __future__ import annotations

import inspect
import random
import socket
import struct
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.types import ASGIApp, Receive, Scope, Send

from nemo_gym.serving.error_answers import error_response

SCOPE_KEY = "scripted_model.fault"
"""Key of the ASGI scope under which the handler finds the fault that it must play itself."""
PLAYED_BY_HANDLER = ("reasoning_only", "empty")

Rate = Field(default=0.0, ge=0, le=1)


class Faults(BaseModel):
    """The share of requests, 0–1, that each fault strikes; together at most 1."""

    model_config = ConfigDict(extra="forbid")

    http_500: float = Rate
    http_429: float = Rate
    """Too many requests, with `Retry-After: <retry_after_s>`."""
    malformed_json: float = Rate
    """HTTP 200 whose body is no JSON."""
    truncated: float = Rate
    """The connection closes in the middle of the body."""
    reset: float = Rate
    """The connection is reset before any answer."""
    hang: float = Rate
    """No answer, until the client gives up."""
    reasoning_only: float = Rate
    """An answer that holds neither text nor tool call."""
    empty: float = Rate
    """An answer without items."""
    retry_after_s: float = Field(default=1.0, ge=0)

    @property
    def rates(self) -> dict[str, float]:
        return {name: float(rate) for name, rate in self if name != "retry_after_s"}

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        total = sum(self.rates.values())
        if total > 1 + 1e-9:
            raise ValueError(f"the rates add up to {total:g}: at most 1")
        return self


class FaultMiddleware:
    """Draws for each model call whether and how it fails; the n-th call to arrive always draws the same.

    Stands outside all other middleware, because a reset needs the server's own connection.
    """

    def __init__(self, app: ASGIApp, faults: Faults, seed: int) -> None:
        self.app, self._retry_after_s = app, faults.retry_after_s
        self._names, self._weights = [None, *faults.rates], [1 - sum(faults.rates.values()), *faults.rates.values()]
        self._rng = random.Random(f"{seed}/faults")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = None
        if scope["type"] == "http" and scope["method"] == "POST":
            [fault] = self._rng.choices(self._names, weights=[max(weight, 0.0) for weight in self._weights])
        if fault is None or fault in PLAYED_BY_HANDLER:
            scope[SCOPE_KEY] = fault
            await self.app(scope, receive, send)
            return
        await _read_body(receive)
        match fault:
            case "http_500":
                answer = error_response(500, "scripted_fault", "this failure was asked for: `faults.http_500`")
                await answer(scope, receive, send)
            case "http_429":
                answer = error_response(429, "scripted_fault", "this refusal was asked for: `faults.http_429`")
                answer.headers["retry-after"] = f"{self._retry_after_s:g}"
                await answer(scope, receive, send)
            case "malformed_json":
                await _start(send, length=None)
                await send({"type": "http.response.body", "body": b'{"id": "resp_broken", "output": [{"type": '})
            case "truncated":
                await _start(send, length=1000)
                await send({"type": "http.response.body", "body": b'{"id": "resp_truncated", ', "more_body": True})
                await _drop_connection(send, receive, reset=False)
            case "reset":
                await _drop_connection(send, receive, reset=True)
            case "hang":
                await _until_disconnected(receive)


async def _start(send: Send, *, length: int | None) -> None:
    headers = [(b"content-type", b"application/json")]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _drop_connection(send: Send, receive: Receive, *, reset: bool) -> None:
    """Close the connection under uvicorn; where another server holds it, raise what the client would see."""
    if not inspect.ismethod(send):
        raise ConnectionResetError("this was asked for: `faults.reset` or `faults.truncated`")
    transport = vars(send.__self__)["transport"]
    if reset:
        # With a linger time of zero the kernel sends RST instead of FIN.
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    else:
        transport.close()
    await _until_disconnected(receive)


async def _read_body(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
