"""Calls and answers as functions: for code that has a URL in place of a server's name, and answers of any client."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

import orjson

from nemo_gym.serving.http import NO_RETRY, HttpClient, RetryPolicy
from nemo_gym.serving.http_response import HttpResponse
from nemo_gym.serving.run_token import bearer
from nemo_gym.serving.server_client import own_runs_token

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, HttpClient] = WeakKeyDictionary()


class Content(Protocol):
    async def read(self) -> bytes: ...


class Answer(Protocol):
    """An `HttpResponse`, or aiohttp's own."""

    @property
    def ok(self) -> bool: ...
    @property
    def content(self) -> Content: ...
    async def read(self) -> bytes: ...
    def raise_for_status(self) -> None: ...


def shared_client() -> HttpClient:
    """The HTTP client of the running event loop: one pool for all who have none of their own."""
    return _clients.setdefault(asyncio.get_running_loop(), HttpClient())


async def close_shared_client() -> None:
    """Close its connections, if there are any."""
    client = _clients.pop(asyncio.get_running_loop(), None)
    if client is not None:
        await client.close()


async def request(
    method: str,
    url: str,
    *,
    json: object = None,
    data: bytes | None = None,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    cookies: Mapping[str, str] | None = None,
    timeout_s: float = 600.0,
    retry: RetryPolicy = NO_RETRY,
) -> HttpResponse:
    """Send one HTTP request; to a server of this process's run, with the run's token.

    An answer of status 400 or above is returned. Raises a `RequestError` for no answer.
    """
    if params:
        url = f"{url}{'&' if '?' in url else '?'}{urlencode(params)}"
    sent = _with_token(url, headers)
    return await shared_client().request(
        method, url, json=json, body=data, headers=sent, cookies=cookies, timeout_s=timeout_s, retry=retry
    )


def _with_token(url: str, headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
    token = own_runs_token(url)
    if token is None:
        return headers
    others = {name: value for name, value in (headers or {}).items() if name.lower() != "authorization"}
    return {**others, **bearer(token)}


async def raise_for_status(response: Answer) -> None:
    """Raise for a status of 400 or above, with the answer's body as `response_content` of the error."""
    if response.ok:
        return
    content = await response.content.read()
    try:
        response.raise_for_status()
    except Exception as error:
        error.response_content = content  # type: ignore[attr-defined]
        raise


async def get_response_json(response: Answer) -> Any:
    """The answer's body as JSON."""
    return orjson.loads(await response.read())
