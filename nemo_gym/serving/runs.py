"""A run: its folder under the working directory, and what its head server tells about it.

.nemo_gym/runs/<run_id>/run.json            who runs it and where its head server answers
.nemo_gym/runs/<run_id>/<instance>.log      all that a server wrote
.nemo_gym/runs/<run_id>/lock                locked as long as the launcher lives, however it ends
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from nemo_gym.errors import BadBody, LaunchError, Unreachable
from nemo_gym.serving.http import HttpClient
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

    def record(self, head_url: str) -> RunRecord:
        """Write `run.json`: from now on commands in this folder find the run."""
        record = RunRecord(run_id=self.run_id, pid=os.getpid(), head_url=head_url, started_at=time.time())
        unfinished = self.path / "run.json.tmp"
        unfinished.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        unfinished.replace(self.path / "run.json")
        return record

    def close(self) -> None:
        """The run has ended; its logs stay."""
        self._lock.close()


def live_runs(cwd: Path) -> list[RunRecord]:
    """Runs started in `cwd` whose launcher lives, oldest first."""
    records = []
    for path in sorted(_runs_folder(cwd).glob("*/run.json")):
        if not _is_live(path.parent):
            continue
        try:
            records.append(RunRecord.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            continue  # removed or damaged meanwhile: nothing there to connect to
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


async def fetch_directory(head_url: str, http: HttpClient | None = None) -> dict[str, ServerAddress]:
    """Every instance of the run behind that head server, by name. Raises RequestError."""
    body = await _fetch(head_url + "/server_instances", http)
    instances = _parse(_INSTANCES, body, head_url + "/server_instances")
    return {instance.process_name: instance.address() for instance in instances}


def read_global_config(head_url: str) -> dict[str, Any]:
    """The configuration of the run behind that head server, without secrets. Blocks. Raises RequestError."""
    # Imported here: few processes ask for it.
    from urllib.error import URLError
    from urllib.request import urlopen

    import yaml

    url = head_url + "/global_config_dict_yaml"
    try:
        with urlopen(url, timeout=HEAD_TIMEOUT_S) as answer:
            body = answer.read()
    except URLError as error:
        raise Unreachable(f"no head server answers: {error.reason}", url=url, delivered=False) from error
    values = yaml.safe_load(orjson.loads(body))
    assert isinstance(values, dict)
    return values


async def fetch_status(head_url: str, http: HttpClient | None = None) -> list[ServerStatus]:
    """How every server process of that run is doing. Raises RequestError."""
    return _parse(_STATUSES, await _fetch(head_url + "/server_status", http), head_url + "/server_status")


async def _fetch(url: str, http: HttpClient | None) -> bytes:
    client = http or HttpClient()
    try:
        answer = await client.request("GET", url, timeout_s=HEAD_TIMEOUT_S)
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
