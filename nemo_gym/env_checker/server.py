"""The server under check: runs in this process, and every answer's status is noted."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from nemo_gym.agent_loop.routes import Routes
from nemo_gym.env_checker.layout import CheckedSettings
from nemo_gym.serving.http_response import HttpResponse
from nemo_gym.testclient import InProcessGym


class ServerErrors:
    """Answers of status 500 and above, as they come."""

    def __init__(self) -> None:
        self._seen: list[str] = []

    def note(self, method: str, answer: HttpResponse) -> None:
        if answer.status >= 500:
            path = urlsplit(answer.url).path
            self._seen.append(f"{method} {path} answers {answer.status}: {answer.text[:200]}")

    def take_server_errors(self) -> list[str]:
        """Those since the last time, each once."""
        taken, self._seen = list(dict.fromkeys(self._seen)), []
        return taken


class CheckedServer:
    """One resources server in this process, with those that its configuration starts from the same folder.

    Raises what `InProcessGym.add` raises.
    """

    def __init__(self, folder: Path, settings: CheckedSettings) -> None:
        self.name = folder.name
        self.log = ServerErrors()
        self.gym = InProcessGym(watch=self.log.note)
        for name, block in settings.beside.items():
            self.gym.add(name, folder, **block)
        self.server = self.gym.add(self.name, folder, **settings.own)
        self._routes = Routes(self.gym.client)

    async def offers(self, path: str) -> bool:
        """Whether the server takes a POST there."""
        return await self._routes.has(self.name, path)

    async def get(self, path: str) -> HttpResponse:
        return await self.gym.client.get(self.name, path)

    async def post(
        self, path: str, body: object = None, *, raw: bytes | None = None, cookies: dict[str, str] | None = None
    ) -> HttpResponse:
        """POST `body` as JSON, or `raw` as it is. New cookies are put into `cookies`."""
        answer = await self.gym.client.post(self.name, path, body, body=raw, cookies=cookies)
        if cookies is not None:
            cookies.update(answer.cookies)
        return answer
