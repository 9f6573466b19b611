"""ServerClient: calls other servers of the run by their instance names."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode, urlsplit

from nemo_gym.config.global_config import HEAD_SERVER_KEY_NAME, instance_block, known_global_config
from nemo_gym.config.nearest import suggestion
from nemo_gym.config_types import BaseServerConfig, HeadServerConfig
from nemo_gym.errors import ConfigError, ConfigProblem, RequestError
from nemo_gym.serving.http import NO_RETRY, HttpClient, RetryPolicy
from nemo_gym.serving.http_response import MAX_ANSWER_BYTES, HttpResponse
from nemo_gym.serving.in_flight import waiting_for
from nemo_gym.serving.run_token import bearer, token_in
from nemo_gym.serving.sessions import SESSION_HEADER, id_in, session_cookie_name, worker_of
from nemo_gym.serving.spec import ServerAddress

if TYPE_CHECKING:
    from omegaconf import DictConfig

DEFAULT_TIMEOUT_S = 600.0


class ServerClient:
    """Knows where every instance answers. All calls of one session reach the same worker."""

    def __init__(
        self,
        directory: Mapping[str, ServerAddress] | None = None,
        http: HttpClient | None = None,
        *,
        global_config_dict: Mapping[str, Any] | None = None,
        head_server_config: BaseServerConfig | None = None,
        token: str | None = None,
    ) -> None:
        """`directory`: every instance by name; None: those that `global_config_dict` gives a host and a port.

        `token`: the run's, which every request carries; None: the one that `global_config_dict` tells, if it does.
        """
        self._global_config = {} if global_config_dict is None else global_config_dict
        self.directory = dict(addresses_in(self._global_config) if directory is None else directory)
        self.head_server_config = head_server_config or _head_in(self._global_config)
        """Where the head server of the run answers; None where that is not known."""
        self.token = token or token_in(self._global_config)
        self._authorization = bearer(self.token)
        self.http = http or HttpClient()
        self._round_robin = itertools.count()

    @classmethod
    def load_from_global_config(cls, head_server_config: BaseServerConfig | None = None) -> Self:
        """A client for the servers of the run that this process belongs to, or of the head server that is named.

        In a process that belongs to none: for the run started in the working directory. Then, and with a head server
        named, `global_config_dict` holds no secrets, and a `RequestError` is raised where nobody answers.
        """
        # Imported here: in a server, which is told everything when it starts, it is not needed.
        from nemo_gym.serving import runs

        values = known_global_config() if head_server_config is None else None
        if values is not None:
            return cls(global_config_dict=values)
        head = head_server_config
        head_url, token = runs.find_run(Path.cwd(), head)
        return cls(global_config_dict=runs.read_global_config(head_url, token=token), head_server_config=head)

    @property
    def global_config_dict(self) -> DictConfig:
        """The run's merged configuration, addresses included; without one, the addresses alone."""
        # Imported here: few servers ask for it, and it takes long.
        from omegaconf import OmegaConf

        return OmegaConf.create(dict(self._global_config) or _config_of(self.directory))

    async def post(
        self,
        server_name: str,
        url_path: str,
        json: object = None,
        *,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retry: RetryPolicy = NO_RETRY,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> HttpResponse:
        """POST to `url_path` of an instance: `json` is a pydantic model or plain data, `body` is ready JSON bytes.

        `params` become the URL's query.
        Raises a `RequestError` where there is no answer, or one with more than `max_bytes`. An answer of status 400 or
        above is returned.
        """
        content = {"content-type": "application/json"} if body is not None else {}
        sent = {**content, **(headers or {}), **self._authorization}
        url = self.url_of(server_name, cookies=cookies, headers=headers) + _with_query(url_path, params)
        with waiting_for(server_name, f"POST {url_path}"):
            return await self.http.request(
                "POST",
                url,
                body=body,
                json=json,
                headers=sent,
                cookies=cookies,
                timeout_s=timeout_s,
                retry=retry,
                max_bytes=max_bytes,
            )

    async def get(
        self,
        server_name: str,
        url_path: str,
        *,
        params: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retry: RetryPolicy = NO_RETRY,
    ) -> HttpResponse:
        """GET `url_path` of an instance."""
        url = self.url_of(server_name, cookies=cookies, headers=headers) + _with_query(url_path, params)
        sent = {**(headers or {}), **self._authorization}
        with waiting_for(server_name, f"GET {url_path}"):
            return await self.http.request("GET", url, headers=sent, cookies=cookies, timeout_s=timeout_s, retry=retry)

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
        # The header before the cookie, as the server has it.
        session_id = next((value for name, value in (headers or {}).items() if name.lower() == SESSION_HEADER), None)
        if session_id is None:
            cookie = (cookies or {}).get(session_cookie_name(server_name))
            if cookie is None:
                return address.urls[next(self._round_robin) % len(address.urls)]
            session_id = id_in(cookie)
        return address.urls[worker_of(session_id, len(address.urls))]

    def _unknown(self, server_name: str) -> str:
        return f"no server of that name; {suggestion(server_name, self.directory, kind='servers')}"


def get_server_url(server_name: str) -> str:
    """Base URL of an instance of the run that this process belongs to: see `load_from_global_config`."""
    return ServerClient.load_from_global_config().url_of(server_name)


def own_runs_token(url: str) -> str | None:
    """The token of the run that this process belongs to, where the URL is one of its servers; else None."""
    config = known_global_config() or {}
    return token_in(config) if _names(url, config) else None


def find_token(url: str) -> str | None:
    """The token of the run that has a server at this URL: this process's, or one started in this folder. Blocks.

    None where neither has.
    """
    # Imported here: see `load_from_global_config`.
    from nemo_gym.serving import runs

    if (own := own_runs_token(url)) is not None:
        return own
    for run in runs.live_runs(Path.cwd()):
        with suppress(RequestError):
            config = runs.read_global_config(run.head_url)
            if _names(url, config):
                return token_in(config)
    return None


def _names(url: str, config: Mapping[str, Any]) -> bool:
    urls = [own for address in addresses_in(config).values() for own in address.urls]
    return any(url == own or url.startswith(f"{own}/") for own in urls)


def addresses_in(global_config: Mapping[str, Any]) -> dict[str, ServerAddress]:
    """Every instance of a configuration that has a host and a port, by name."""
    found = {}
    for name, value in global_config.items():
        block = instance_block(value)
        if block is None:
            continue
        server_type, implementation, settings = block
        if settings.get("host") and settings.get("port"):
            url = f"http://{settings['host']}:{settings['port']}"
            found[name] = ServerAddress(name=name, server_type=server_type, implementation=implementation, urls=(url,))
    return found


def _head_in(global_config: Mapping[str, Any]) -> BaseServerConfig | None:
    head = global_config.get(HEAD_SERVER_KEY_NAME)
    return HeadServerConfig(host=head["host"], port=head["port"], token=head.get("token")) if head else None


def _config_of(directory: Mapping[str, ServerAddress]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name, address in directory.items():
        parts = urlsplit(address.urls[0])
        settings: dict[str, Any] = {"host": parts.hostname, "port": parts.port}
        config[name] = {address.server_type: {address.implementation: settings}}
    return config


def _with_query(url_path: str, params: Mapping[str, str] | None) -> str:
    return f"{url_path}?{urlencode(params)}" if params else url_path
