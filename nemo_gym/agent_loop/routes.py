"""Which routes a resources server has: asked of it with `OPTIONS`, and remembered for a while."""

from __future__ import annotations

import asyncio
import time

from nemo_gym.errors import BadStatus
from nemo_gym.serving.http import NO_RETRY, RetryPolicy
from nemo_gym.serving.in_flight import waiting_for
from nemo_gym.serving.run_token import bearer
from nemo_gym.serving.server_client import ServerClient

ASKED_AGAIN_AFTER_S = 10.0
"""A server that was started again with other code is noticed within this time."""
ASK_TIMEOUT_S = 30.0


class Routes:
    """What the servers of a run offer. Kept by an agent over all its rollouts."""

    def __init__(self, client: ServerClient) -> None:
        self._client = client
        self._known: dict[tuple[str, str], tuple[float, bool]] = {}
        self._asking = asyncio.Lock()

    async def has(self, server_name: str, path: str, retry: RetryPolicy = NO_RETRY) -> bool:
        """Whether the server takes a POST at `path`. Raises a `RequestError` where it cannot be asked."""
        offered = self._remembered(server_name, path)
        if offered is None:
            with waiting_for(server_name, "its routes"):
                async with self._asking:  # rollouts that begin together ask once
                    offered = self._remembered(server_name, path)
                    if offered is None:
                        offered = await self._ask(server_name, path, retry)
                        self._known[server_name, path] = (time.monotonic(), offered)
        return offered

    def _remembered(self, server_name: str, path: str) -> bool | None:
        asked_at, offered = self._known.get((server_name, path), (0.0, None))
        return offered if time.monotonic() - asked_at < ASKED_AGAIN_AFTER_S else None

    async def _ask(self, server_name: str, path: str, retry: RetryPolicy) -> bool:
        url = self._client.url_of(server_name) + path
        headers = bearer(self._client.token)
        answer = await self._client.http.request("OPTIONS", url, headers=headers, timeout_s=ASK_TIMEOUT_S, retry=retry)
        if answer.status in (401, 403) or answer.status >= 500:
            raise BadStatus(f"HTTP {answer.status}", url=url, delivered=True, status=answer.status, body=answer.body)
        allowed = answer.headers.get("allow")
        # 405 names the methods there are; a server that answers OPTIONS itself need not.
        return "POST" in allowed if allowed is not None else answer.ok
