"""The server under check: runs in this process, and every answer's status is noted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI

from nemo_gym.serving.http import HttpResponse
from nemo_gym.testclient import AsgiClient, InProcessGym


class StatusLog(AsgiClient):
    """Keeps (path, status, start of the text) of each answer of status 500 and above."""

    def __init__(self, apps: Mapping[str, FastAPI]) -> None:
        super().__init__(apps)
        self.server_errors: list[str] = []

    async def _send(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> HttpResponse:
        answer = await super()._send(method, url, body, headers, timeout_s)
        if answer.status >= 500:
            self.server_errors.append(f"{method} {urlsplit(url).path} answers {answer.status}: {answer.text[:200]}")
        return answer

    def take_server_errors(self) -> list[str]:
        """Those since the last time, each once."""
        taken, self.server_errors = list(dict.fromkeys(self.server_errors)), []
        return taken


class CheckedServer:
    """One resources server in this process. Raises what `InProcessGym.add` raises."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.name = folder.name
        self.gym = InProcessGym()
        assert isinstance(self.gym.client.http, AsgiClient)
        self.log = self.gym.client.http = StatusLog(self.gym.client.http.apps)
        self.server = self.gym.add(self.name, folder, **settings)

    async def post(
        self, path: str, body: object = None, *, raw: bytes | None = None, cookies: dict[str, str] | None = None
    ) -> HttpResponse:
        """POST `body` as JSON, or `raw` as it is. New cookies are put into `cookies`."""
        answer = await self.gym.client.post(self.name, path, body, body=raw, cookies=cookies)
        if cookies is not None:
            cookies.update(answer.cookies)
        return answer
