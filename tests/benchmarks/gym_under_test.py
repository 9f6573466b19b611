"""The servers whose cost is measured, started as users start them: `ng_run` with a configuration."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nemo_gym.serving.runs import ServerStatus, fetch_status, live_runs
from tests.benchmarks.process_stats import process_tree

ENVIRONMENT = Path(__file__).parent / "environment"
BENCHMARK_CONFIG = "resources_servers/benchmark/configs/benchmark.yaml"
OPENAI_MODEL_CONFIG = "responses_api_models/openai_model/configs/openai_model.yaml"
AGENT = "benchmark_simple_agent"

_STOP_TIMEOUT_S = 30.0
_REQUESTS = re.compile(r'ng_requests_total\{route="(?P<route>[^"]*)",status="\d+"\} (?P<count>\d+)')
_ROUTES_OUTSIDE_ROLLOUTS = frozenset({"/", "/metrics", "/metrics_mode", "/aggregate_metrics", "/in_flight"})


@dataclass(frozen=True)
class GymUnderTest:
    """An `ng_run` whose servers are ready."""

    folder: Path
    """Its working directory, in which other commands find the run."""
    pid: int
    """Of the launcher, which is also the head server."""
    head_url: str
    servers: dict[str, ServerStatus]
    """By instance name; some may be in the launcher's process. Further workers of an instance: `<name>.1` and so on."""
    ready_s: float
    """From the start of the command until it says that all servers are ready."""

    def cpu_s(self) -> dict[str, float]:
        """CPU time of each server with its children and, as `launcher`, of everything else that `ng_run` started."""
        servers = {server.pid: name for name, server in self.servers.items() if server.pid != self.pid}
        owners: dict[int, str] = {}
        used = dict.fromkeys([*self.servers, "launcher"], 0.0)
        for stat in process_tree(self.pid):  # parents come before their children
            owners[stat.pid] = servers.get(stat.pid) or owners.get(stat.parent, "launcher")
            used[owners[stat.pid]] += stat.cpu_s
        return used

    def pids(self) -> dict[str, int]:
        """The main process of each server, and the launcher."""
        own = {name: server.pid or 0 for name, server in self.servers.items() if server.pid != self.pid}
        return {**dict.fromkeys(self.servers, 0), **own, "launcher": self.pid}

    def authorization(self) -> dict[str, str]:
        """The header that every request must carry; none where the run is open to all."""
        path = self.folder / ".nemo_gym" / "latest" / "authorization"
        if not path.exists():
            return {}
        name, _, value = path.read_text().strip().partition(": ")
        return {name: value}

    def requests(self) -> int:
        """HTTP requests of rollouts that the servers have answered so far, by their own count."""
        total = 0
        for server in self.servers.values():
            asked = urllib.request.Request(f"{server.url}/metrics", headers=self.authorization())
            with urllib.request.urlopen(asked) as answer:
                metrics = answer.read().decode()
            for found in _REQUESTS.finditer(metrics):
                if found["route"] not in _ROUTES_OUTSIDE_ROLLOUTS:
                    total += int(found["count"])
        return total


@contextmanager
def gym_under_test(folder: Path, arguments: list[str]) -> Iterator[GymUnderTest]:
    """`ng_run` with `arguments`, in `folder`, which gets a copy of the benchmarks' environment to serve.

    Raises RuntimeError with what it wrote where it does not start.
    """
    home = folder / "resources_servers" / "benchmark"
    shutil.copytree(ENVIRONMENT, home, ignore=shutil.ignore_patterns("__pycache__"))
    log = folder / "ng_run.log"
    started = time.perf_counter()
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [command("ng_run"), *arguments], cwd=folder, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            ready_s = _until_ready(process, log, started)
            (run,) = live_runs(folder)
            statuses = asyncio.run(fetch_status(run.head_url))
            yield GymUnderTest(folder, process.pid, run.head_url, {_label(each): each for each in statuses}, ready_s)
        finally:
            _stop(process)


def benchmark_arguments(model_url: str, **num_workers: int) -> list[str]:
    """What `ng_run` is told: the benchmarks' environment, `simple_agent`, and `openai_model` before that model.

    `num_workers` of `benchmark`, `agent` and `policy_model` where they are more than one.
    """
    keys = {
        "benchmark": "benchmark.resources_servers.benchmark",
        "agent": f"{AGENT}.responses_api_agents.simple_agent",
        "policy_model": "policy_model.responses_api_models.openai_model",
    }
    return [
        f"+config_paths=[{BENCHMARK_CONFIG},{OPENAI_MODEL_CONFIG}]",
        f"+policy_base_url={model_url}/v1",
        "+policy_api_key=none",
        "+policy_model_name=fake-model",
        *(f"++{keys[name]}.num_workers={number}" for name, number in num_workers.items()),
    ]


def command(name: str) -> str:
    """The installed command, of the environment that runs this benchmark."""
    return str(Path(sys.executable).with_name(name))


def _label(status: ServerStatus) -> str:
    return status.name if status.worker == 0 else f"{status.name}.{status.worker}"


def _until_ready(process: subprocess.Popen[bytes], log: Path, started: float) -> float:
    while b"servers are ready" not in log.read_bytes():
        if process.poll() is not None:
            raise RuntimeError(f"ng_run ended with exit code {process.returncode}:\n{log.read_text()}")
        time.sleep(0.005)
    return time.perf_counter() - started


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
