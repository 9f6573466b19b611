"""HTTP without sockets: requests to servers of this process are calls of their apps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

from starlette.types import ASGIApp, Message, Scope

from nemo_gym.errors import AnswerTooLarge, DeadlineExceeded, Unreachable
from nemo_gym.serving.http import Transport
from nemo_gym.serving.http_response import MAX_ANSWER_BYTES, ByteStream, HttpResponse, parse_set_cookies

Watch = Callable[[str, HttpResponse], None]


class AsgiTransport:
    """`http://<name>/path` goes to `apps[name]`, where `<name>` is what stands in URLs: a host and port, or any name.

    Requests to others travel by `beyond`; None: there are no others. `watch(method, answer)` is called with each answer
    of an app.
    """

    def __init__(
        self, apps: Mapping[str, ASGIApp], *, beyond: Transport | None = None, watch: Watch | None = None
    ) -> None:
        self.apps, self.beyond, self.watch = apps, beyond, watch

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> HttpResponse:
        """One attempt. Raises a `RequestError` where there is no complete answer within `timeout_s`."""
        parts = _split(url)
        app = self.apps.get(parts.netloc)
        if app is None:
            if self.beyond is None:
                raise Unreachable("no such app", url=url, delivered=False)
            return await self.beyond.send(method, url, body, headers, timeout_s, max_bytes)
        exchange = _Exchange(body or b"")
        try:
            async with asyncio.timeout(timeout_s):
                await app(_scope(method, parts, headers), exchange.receive, exchange.send)
        except TimeoutError as error:
            raise DeadlineExceeded(f"no complete answer within {timeout_s:.3g} s", url=url, delivered=True) from error
        answer = exchange.response(url)
        if len(answer.body) > max_bytes:
            message = f"the answer has more than {max_bytes} bytes, which is the limit"
            raise AnswerTooLarge(message, url=url, delivered=True, status=answer.status)
        if self.watch is not None:
            self.watch(method, answer)
        return answer

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[ByteStream]:
        """An app's whole body as one piece; others' as it arrives."""
        if self.beyond is not None and _split(url).netloc not in self.apps:
            async with self.beyond.stream(method, url, body, headers, timeout_s) as answer:
                yield answer
        else:
            yield _OnePiece(await self.send(method, url, body, headers, timeout_s))

    async def close(self) -> None:
        if self.beyond is not None:
            await self.beyond.close()


class _OnePiece:
    def __init__(self, response: HttpResponse) -> None:
        self.status, self.headers, self._body = response.status, response.headers, response.body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


class _Exchange:
    """The two channels of one ASGI request."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []

    async def receive(self) -> Message:
        if self._body is None:
            await asyncio.Event().wait()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message["headers"])
        else:
            self._chunks.append(message.get("body", b""))

    def response(self, url: str) -> HttpResponse:
        headers = {key.decode().lower(): value.decode("latin-1") for key, value in self._headers}
        set_cookies = [value.decode("latin-1") for key, value in self._headers if key.lower() == b"set-cookie"]
        return HttpResponse(url, self._status, headers, b"".join(self._chunks), parse_set_cookies(set_cookies))


@lru_cache(maxsize=4096)
def _split(url: str) -> SplitResult:
    return urlsplit(url)


def _scope(method: str, parts: SplitResult, headers: Mapping[str, str]) -> Scope:
    path = parts.path or "/"
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "server": (parts.hostname, parts.port or 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": parts.query.encode(),
        "headers": [(key.lower().encode(), value.encode("latin-1")) for key, value in headers.items()],
    }
