"""ServerClient: calls other servers of the run by their instance names."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping

from nemo_gym.config.nearest import suggestion
from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.serving.http import NO_RETRY, HttpClient, RetryPolicy
from nemo_gym.serving.http_response import HttpResponse
from nemo_gym.serving.sessions import SESSION_HEADER, session_cookie_name, worker_of
from nemo_gym.serving.spec import ServerAddress

DEFAULT_TIMEOUT_S = 600.0


class ServerClient:
    """Knows where every instance answers. All calls of one session reach the same worker."""

    def __init__(self, directory: Mapping[str, ServerAddress], http: HttpClient | None = None) -> None:
        self.directory = dict(directory)
        self.http = http or HttpClient()
        self._round_robin = itertools.count()

    async def post(
        self,
        server_name: str,
        url_path: str,
        json: object = None,
        *,
        body: bytes | None = None,
        cookies: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retry: RetryPolicy = NO_RETRY,
    ) -> HttpResponse:
        """POST to `url_path` of an instance: `json` is a pydantic model or plain data, `body` is ready JSON bytes.

        Raises a `RequestError` where there is no answer; an answer of status 400 or above is returned.
        """
        sent = {"content-type": "application/json", **(headers or {})} if body is not None else headers
        url = self.url_of(server_name, cookies=cookies, headers=headers) + url_path
        return await self.http.request(
            "POST", url, body=body, json=json, headers=sent, cookies=cookies, timeout_s=timeout_s, retry=retry
        )

    async def get(
        self,
        server_name: str,
        url_path: str,
        *,
        cookies: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retry: RetryPolicy = NO_RETRY,
    ) -> HttpResponse:
        """GET `url_path` of an instance."""
        url = self.url_of(server_name, cookies=cookies, headers=headers) + url_path
        return await self.http.request("GET", url, headers=headers, cookies=cookies, timeout_s=timeout_s, retry=retry)

    async def close(self) -> None:
        """Close all connections."""
        await self.http.close()

    def url_of(
        self,
        server_name: str,
        *,
        cookies: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Base URL of the worker that holds the session named by cookie or header, else of the next one in turn."""
        address = self.directory.get(server_name)
        if address is None:
            raise ConfigError([ConfigProblem("servers", server_name, self._unknown(server_name))])
        if len(address.urls) == 1:
            return address.urls[0]
        cookie = (cookies or {}).get(session_cookie_name(server_name))
        if cookie is not None:
            return address.urls[worker_of(cookie) % len(address.urls)]
        session_id = (headers or {}).get(SESSION_HEADER)
        if session_id is not None:
            return address.urls[zlib.crc32(session_id.encode()) % len(address.urls)]
        return address.urls[next(self._round_robin) % len(address.urls)]

    def _unknown(self, server_name: str) -> str:
        return f"no server of that name; {suggestion(server_name, self.directory, kind='servers')}"
