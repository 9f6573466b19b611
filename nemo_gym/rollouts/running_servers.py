"""How the servers of a run are reached: by its head server, found in this folder or given."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from nemo_gym.errors import LaunchError, RequestError
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.run_token import read_token
from nemo_gym.serving.runs import fetch_directory, find_head, token_of
from nemo_gym.serving.server_client import ServerClient


class HeadServerAddress(BaseModel):
    """Where the head server answers, and the file that holds its run's token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str | None = None
    port: int | None = None
    token_file: Path | None = None
    """`.nemo_gym/latest/authorization` in the folder of the run; needed where that is another machine's or user's."""

    def url(self) -> str:
        """Its address, where nothing is given that of this folder's run. Raises `LaunchError` if there are several."""
        return find_head(Path.cwd(), self.host, self.port)

    def token(self) -> str | None:
        """Of the run; None where nobody tells. Raises `LaunchError` for a file that holds none."""
        return read_token(self.token_file) if self.token_file is not None else token_of(self.url())


async def running_servers(head: HeadServerAddress | None, http: HttpClient) -> ServerClient:
    """A client for the servers of that run, or of the run in this folder. Raises `LaunchError` where there is none."""
    head = head or HeadServerAddress()
    url, token = head.url(), head.token()
    try:
        return ServerClient(await fetch_directory(url, http, token=token), http, token=token)
    except RequestError as error:
        raise LaunchError(
            f"no running servers found ({error}).\n"
            "Start them in this folder with ng_run, or say where they are: +head_server.host=… +head_server.port=…"
        ) from error
