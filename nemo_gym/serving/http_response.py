"""The answer to an HTTP request: complete, or as a stream of pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from nemo_gym.errors import BadBody

REFUSED_STATUSES = frozenset({429, 503})
"""Statuses by which a server says that it did not process the request."""
TRIED_ENOUGH = ("x-should-retry", "false")
"""Header of a refusal whose sender has tried itself as often as it may: bounds of several servers must not multiply.
OpenAI's clients know it too."""
MAX_ANSWER_BYTES = 1 << 30
"""As much is received of one answer, unless its caller wants less: a body without end must not fill the memory."""


class Cookie(str):
    """A cookie's value; `.value` is the same, as users of aiohttp write it."""

    __slots__ = ()

    @property
    def value(self) -> str:
        return str(self)


class _Content:
    """`response.content.read()`, as users of aiohttp write it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        return self._body


@dataclass(frozen=True)
class HttpResponse:
    """A complete answer: status, headers and the whole body. A status of 400 or above does not raise by itself."""

    url: str
    status: int
    headers: Mapping[str, str]
    """Keys in lower case."""
    body: bytes
    cookies: dict[str, Cookie] = field(default_factory=dict)
    """What the server asked to keep, by name."""

    @property
    def ok(self) -> bool:
        return self.status < 400

    @property
    def was_tried_enough(self) -> bool:
        """Whether its sender says so."""
        name, value = TRIED_ENOUGH
        return self.headers.get(name) == value

    @property
    def content(self) -> _Content:
        return _Content(self.body)

    @property
    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 become U+FFFD."""
        return self.body.decode("utf-8", errors="replace")

    def parse(self) -> Any:
        """The body as JSON. Raises `BadBody` where it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise BadBody(
                f"the answer is no JSON ({error}): {self.text[:200]!r}",
                url=self.url,
                delivered=True,
                status=self.status,
                body=self.body,
            ) from error

    async def json(self) -> Any:
        return self.parse()

    async def read(self) -> bytes:
        return self.body

    def raise_for_status(self) -> None:
        """Raise `BadStatus` for a status of 400 or above; it is aiohttp's `ClientResponseError` too."""
        if not self.ok:
            # Imported here: it loads aiohttp, which a server that calls nobody never needs.
            from nemo_gym.serving.status_error import StatusError

            raise StatusError(
                f"HTTP {self.status}: {self.text[:500]}",
                url=self.url,
                delivered=self.status not in REFUSED_STATUSES,
                status=self.status,
                body=self.body,
            )


class ByteStream(Protocol):
    """A body that arrives in pieces."""

    status: int
    headers: Mapping[str, str]

    def __aiter__(self) -> AsyncIterator[bytes]: ...


def parse_set_cookies(headers: list[str]) -> dict[str, Cookie]:
    """Name and value of each `Set-Cookie` header; attributes are dropped, since cookies here never leave a rollout."""
    pairs = (header.split(";", 1)[0].partition("=") for header in headers)
    return {name.strip(): Cookie(value.strip()) for name, _, value in pairs}
