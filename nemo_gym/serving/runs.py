"""A run: its folder under the working directory, and what its head server tells about it.

.nemo_gym/runs/<run_id>/run.json            who runs it and where its head server answers
.nemo_gym/runs/<run_id>/<instance>.log      all that a server wrote
.nemo_gym/runs/<run_id>/lock                locked as long as the launcher lives, however it ends
.nemo_gym/runs/<run_id>/authorization       the run's token, while it lives: see `run_token`
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal, TypeVar
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from nemo_gym.config.global_config import HEAD_SERVER_KEY_NAME, known_global_config
from nemo_gym.config_types import BaseServerConfig, HeadServerConfig
from nemo_gym.errors import BadBody, BadStatus, LaunchError, Unreachable
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.run_token import (
    AUTHORIZATION_FILE,
    bearer,
    forget_token,
    is_address_of,
    keep_token,
    read_token,
    run_with_head_at,
    token_in,
)
from nemo_gym.serving.spec import ServerAddress

DEFAULT_HEAD_HOST = "127.0.0.1"
DEFAULT_HEAD_PORT = 11000
HEAD_TIMEOUT_S = 10.0
KEPT_RUNS = 20
"""So many folders of ended runs stay for their logs; older ones are removed when a run starts."""

ServerState = Literal["starting", "ready", "dead"]


class RunRecord(BaseModel):
    """`run.json`. Holds no secret."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: str
    pid: int
    """Of the launcher."""
    head_url: str
    listens_on: str = ""
    """The host that its head server is bound to."""
    started_at: float
    """Unix time, s."""


class ServerInstance(BaseModel):
    """One instance, as `GET /server_instances` lists it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    process_name: str
    """Instance name."""
    server_type: str
    name: str
    """Folder name of the implementation."""
    dir_path: str
    entrypoint: str
    host: str
    port: int
    url: str
    urls: tuple[str, ...]
    """One per worker; the first is `url`."""
    pid: int | None
    """Of the first worker; None while it is down."""
    config_path: str
    """Key of the instance's block in the merged configuration."""
    start_time: float
    """Unix time, s, at which its latest process was started."""

    def address(self) -> ServerAddress:
        """What other servers are told of it."""
        return ServerAddress(
            name=self.process_name, server_type=self.server_type, implementation=self.name, urls=self.urls
        )


class ServerStatus(BaseModel):
    """How one server process is doing, as `GET /server_status` lists it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    """Instance name."""
    worker: int
    server_type: str
    implementation: str
    url: str
    state: ServerState
    pid: int | None
    restarts: int
    memory_bytes: int | None
    """Resident memory of the process; None where it is down or cannot be read."""
    started_at: float
    """Unix time, s, at which its latest process was started."""


_T = TypeVar("_T")
_INSTANCES = TypeAdapter(list[ServerInstance])
_STATUSES = TypeAdapter(list[ServerStatus])


class RunFolder:
    """Folder of a run that this process runs. Readable by its owner only; locked until `close` or the process's end."""

    def __init__(self, run_id: str, path: Path, lock: IO[bytes]) -> None:
        self.run_id, self.path, self._lock = run_id, path, lock

    @classmethod
    def create(cls, cwd: Path) -> RunFolder:
        """A new one below `cwd`. Raises LaunchError where that cannot be written."""
        run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        path = _runs_folder(cwd) / run_id
        try:
            path.mkdir(parents=True, mode=0o700)
            _ignore_in_git(cwd / ".nemo_gym")
            lock = (path / "lock").open("wb")
            fcntl.flock(lock, fcntl.LOCK_EX)
            _remove_old_runs(cwd)
        except OSError as error:
            raise LaunchError(f"{path}: cannot make the run's folder: {error.strerror or error}") from error
        return cls(run_id, path, lock)

    def log_path(self, server: str) -> Path:
        """Log file of an instance, or of one of its workers (`calendar`, `calendar.1`)."""
        return self.path / f"{server}.log"

    def record(self, head_url: str, token: str | None = None, *, listens_on: str = "") -> RunRecord:
        """Write `run.json`: from now on commands in this folder find the run, and its token."""
        if token is not None:
            keep_token(self.path, token, head_url)
        record = RunRecord(
            run_id=self.run_id, pid=os.getpid(), head_url=head_url, listens_on=listens_on, started_at=time.time()
        )
        unfinished = self.path / "run.json.tmp"
        unfinished.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        unfinished.replace(self.path / "run.json")
        return record

    def close(self) -> None:
        """The run has ended; its logs stay."""
        forget_token(self.path)
        self._lock.close()


def live_runs(cwd: Path) -> list[RunRecord]:
    """Runs started in `cwd` whose launcher lives, oldest first."""
    records = []
    for path in sorted(_runs_folder(cwd).glob("*/run.json")):
        record = _read_record(path.parent) if _is_live(path.parent) else None
        if record is not None:
            records.append(record)
    return sorted(records, key=lambda record: record.started_at)


def find_head(cwd: Path, host: str | None = None, port: int | None = None) -> str:
    """URL of the head server to talk to: the address given, else the one live run of `cwd`, else the default port.

    Raises LaunchError where several runs are live and no address is given.
    """
    if host is not None or port is not None:
        return f"http://{host or DEFAULT_HEAD_HOST}:{port or DEFAULT_HEAD_PORT}"
    runs = live_runs(cwd)
    if len(runs) > 1:
        listed = ", ".join(f"{run.head_url} (run {run.run_id}, pid {run.pid})" for run in runs)
        raise LaunchError(
            f"{cwd}: {len(runs)} runs are live here: {listed}. Choose one with `+head_server.port=<its port>`."
        )
    return runs[0].head_url if runs else f"http://{DEFAULT_HEAD_HOST}:{DEFAULT_HEAD_PORT}"


def find_run(cwd: Path, head: BaseServerConfig | None = None) -> tuple[str, str | None]:
    """URL of the head server to talk to, as `find_head` has it, and the token of its run; None where nobody tells."""
    if head is None:
        head_url = find_head(cwd)
        return head_url, token_of(head_url, cwd)
    head_url = find_head(cwd, head.host, head.port)
    given = head.token if isinstance(head, HeadServerConfig) else None
    return head_url, given or token_of(head_url, cwd)


def token_of(head_url: str, cwd: Path | None = None) -> str | None:
    """The token of the run behind that head server: this process's run, one of the folder, another of this user here.

    None where it is none of these, as on another machine.
    """
    known = known_global_config() or {}
    address = known.get(HEAD_SERVER_KEY_NAME)
    if isinstance(address, dict) and head_url == f"http://{address.get('host')}:{address.get('port')}":
        return token_in(known)
    folders = sorted(_runs_folder(cwd or Path.cwd()).iterdir()) if _runs_folder(cwd or Path.cwd()).is_dir() else []
    elsewhere = run_with_head_at(urlsplit(head_url).port or DEFAULT_HEAD_PORT)
    for folder in [*reversed(folders), *([elsewhere] if elsewhere else [])]:
        record = _read_record(folder)
        if record is not None and is_address_of(record.listens_on, record.head_url, head_url):
            with suppress(LaunchError):
                return read_token(folder / AUTHORIZATION_FILE)
    return None


def run_token() -> str:
    """The token of the run in the working directory, for programs that ask its servers by themselves.

    Raises LaunchError where there is no run, or where there are several.
    """
    head_url = find_head(Path.cwd())
    token = token_of(head_url)
    if token is None:
        raise LaunchError(f"{Path.cwd()}: no run that was started here is live; start one with ng_run")
    return token


async def fetch_directory(
    head_url: str, http: HttpClient | None = None, *, token: str | None = None
) -> dict[str, ServerAddress]:
    """Every instance of the run behind that head server, by name; `token` None: see `token_of`. Raises RequestError."""
    body = await _fetch(head_url + "/server_instances", http, token or token_of(head_url))
    instances = _parse(_INSTANCES, body, head_url + "/server_instances")
    return {instance.process_name: instance.address() for instance in instances}


def read_global_config(head_url: str, *, token: str | None = None) -> dict[str, Any]:
    """The configuration of the run behind that head server, without secrets but the run's token. Blocks.

    Raises RequestError.
    """
    # Imported here: few processes ask for it.
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    import yaml

    url = head_url + "/global_config_dict_yaml"
    token = token or token_of(head_url)
    try:
        with urlopen(Request(url, headers=bearer(token)), timeout=HEAD_TIMEOUT_S) as answer:
            body = answer.read()
    except HTTPError as error:
        said = error.read()
        message = f"HTTP {error.code}: {said[:500].decode(errors='replace')}"
        raise BadStatus(message, url=url, delivered=True, status=error.code, body=said) from error
    except URLError as error:
        raise Unreachable(f"no head server answers: {error.reason}", url=url, delivered=False) from error
    values = yaml.safe_load(orjson.loads(body))
    assert isinstance(values, dict)
    values[HEAD_SERVER_KEY_NAME] = {**values.get(HEAD_SERVER_KEY_NAME, {}), "token": token}
    return values


async def fetch_status(
    head_url: str, http: HttpClient | None = None, *, token: str | None = None
) -> list[ServerStatus]:
    """How every server process of that run is doing; `token` None: see `token_of`. Raises RequestError."""
    body = await _fetch(head_url + "/server_status", http, token or token_of(head_url))
    return _parse(_STATUSES, body, head_url + "/server_status")


async def _fetch(url: str, http: HttpClient | None, token: str | None) -> bytes:
    client = http or HttpClient()
    try:
        answer = await client.request("GET", url, headers=bearer(token), timeout_s=HEAD_TIMEOUT_S)
        answer.raise_for_status()
        return answer.body
    finally:
        if http is None:
            await client.close()


def _parse(adapter: TypeAdapter[_T], body: bytes, url: str) -> _T:
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        raise BadBody("this is no head server of this version", url=url, delivered=True, body=body) from error


def _runs_folder(cwd: Path) -> Path:
    return cwd / ".nemo_gym" / "runs"


def _read_record(run: Path) -> RunRecord | None:
    """None where it was removed or damaged meanwhile: nothing there to connect to."""
    try:
        return RunRecord.model_validate_json((run / "run.json").read_bytes())
    except (OSError, ValidationError):
        return None


def _ignore_in_git(folder: Path) -> None:
    folder.chmod(0o700)
    gitignore = folder / ".gitignore"
    if not gitignore.exists():
        gitignore.write_text("*\n", encoding="utf-8")


def _is_live(run: Path) -> bool:
    try:
        with (run / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _remove_old_runs(cwd: Path) -> None:
    ended = [run for run in sorted(_runs_folder(cwd).iterdir()) if not _is_live(run)]
    for run in ended[: max(0, len(ended) - KEPT_RUNS)]:
        shutil.rmtree(run, ignore_errors=True)
