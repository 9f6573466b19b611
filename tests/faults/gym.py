"""The gym that is broken: real servers by `ng_run`, short deadlines, models behind the faulty endpoint or none."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from nemo_gym.launch.guardian import processes_of
from nemo_gym.serving.runs import ServerStatus, fetch_status, live_runs
from tests.e2e.documents import environment
from tests.faults.endpoint import FaultyEndpoint, black_hole, faulty_endpoint
from tests.mistakes.endpoint import free_port

ENVIRONMENT = Path(__file__).parent / "environment"

MODEL_TIMEOUT_S = 4.0
"""What a model server allows an endpoint, attempts and waits included; the agent allows the model server a bit more."""
MODEL_ATTEMPTS, AGENT_ATTEMPTS = 3, 2
TOOL_TIMEOUT_S = 3.0
VERIFY_TIMEOUT_S = 8.0
RETRY_S = 4.0
PATIENCE_S = 60.0
GONE_S = 5.0
"""So soon everything has to be gone that nobody needs any more."""

MODELS = ("faulty", "refusing", "pausing", "refused", "unknown", "lost")
"""Each with an agent of its own: before the faulty endpoint, or before none."""
_ENVIRONMENT = """\
faulty:
  resources_servers:
    faulty:
      entrypoint: app.py
      cpu_workers: 2
      cpu_memory_bytes: 536870912
      stall_limit_s: 4
"""
_MODEL = """\
{name}_model:
  responses_api_models:
    openai_model:
      entrypoint: app.py
      openai_base_url: '{url}'
      openai_api_key: sk-faulty
      openai_model: faulty
      timeout_s: {timeout_s}
      max_attempts: {attempts}
      max_retry_s: {retry_s}
      max_answer_bytes: 50000000
{name}_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      max_steps: 3
      model_timeout_s: {agent_timeout_s}
      tool_timeout_s: {tool_timeout_s}
      verify_timeout_s: {verify_timeout_s}
      max_attempts: {agent_attempts}
      max_retry_s: {retry_s}
      resources_server: {{type: resources_servers, name: faulty}}
      model_server: {{type: responses_api_models, name: {name}_model}}
"""


@dataclass(frozen=True)
class FaultyGym:
    """An `ng_run` whose servers were ready."""

    folder: Path
    endpoint: FaultyEndpoint
    process: subprocess.Popen[bytes]
    run_id: str
    head_url: str
    log: Path
    """What `ng_run` says."""

    def servers(self) -> dict[str, ServerStatus]:
        """By instance name, as the head server has it now."""
        return {each.name: each for each in asyncio.run(fetch_status(self.head_url))}

    def until_all_ready(self) -> None:
        """Wait for servers that are started again."""
        deadline = time.monotonic() + PATIENCE_S
        while any(each.state != "ready" for each in self.servers().values()):
            assert time.monotonic() < deadline, f"not all ready again:\n{self.log.read_text()}"
            time.sleep(0.05)

    def strays(self) -> list[str]:
        """Processes of the run that are of no use: with no living server above them, or busy though nothing is to do.

        They get a moment to end.
        """
        deadline = time.monotonic() + GONE_S
        while found := self._strays():
            if time.monotonic() > deadline:
                return [_command_line(pid) for pid in found]
            time.sleep(0.1)
        return []

    def _strays(self) -> list[int]:
        pids = processes_of(self.run_id)
        used = {pid: _cpu_s(pid) for pid in pids}
        time.sleep(0.3)
        busy = [pid for pid in pids if _cpu_s(pid) - used[pid] > 0.25]
        return [*busy, *(pid for pid in pids if pid not in busy and not _descends(pid, self.process.pid))]


@contextmanager
def faulty_gym(
    folder: Path, *, more: Mapping[str, str] | None = None, models: Collection[str] = MODELS
) -> Iterator[FaultyGym]:
    """Start it in an empty folder. `more`: environment variables; `models`: those that are needed."""
    shutil.copytree(ENVIRONMENT, folder / "resources_servers" / "faulty", ignore=shutil.ignore_patterns("__pycache__"))
    with ExitStack() as stack:
        endpoint = stack.enter_context(faulty_endpoint())
        urls = {
            "faulty": endpoint.url,
            # What asks for patience is asked nothing by anybody for a while: these must not make the others wait.
            "refusing": endpoint.url,
            "pausing": endpoint.url,
            "refused": f"http://127.0.0.1:{free_port()}/v1",
            "unknown": "http://no-such-host.invalid/v1",
            "lost": stack.enter_context(black_hole()),
        }
        blocks = [_block(name, url) for name, url in urls.items() if name in models]
        (folder / "faulty.yaml").write_text(_ENVIRONMENT + "".join(blocks))
        log = folder / "ng_run.log"
        command = ["ng_run", "+config_paths=[faulty.yaml]", "+max_restarts=1000"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**environment(), **(more or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        stack.callback(_stop, process)
        _until_ready(process, log)
        [run] = live_runs(folder)
        yield FaultyGym(folder, endpoint, process, run.run_id, run.head_url, log)


def _block(name: str, url: str) -> str:
    return _MODEL.format(
        name=name,
        url=url,
        timeout_s=MODEL_TIMEOUT_S,
        agent_timeout_s=MODEL_TIMEOUT_S + 1,
        attempts=MODEL_ATTEMPTS,
        agent_attempts=AGENT_ATTEMPTS,
        retry_s=RETRY_S,
        tool_timeout_s=TOOL_TIMEOUT_S,
        verify_timeout_s=VERIFY_TIMEOUT_S,
    )


def _until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while "are ready" not in log.read_text():
        assert process.poll() is None and time.monotonic() < deadline, f"ng_run does not start:\n{log.read_text()}"
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _descends(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return True  # it has just ended
    return False


def _command_line(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        words = "ended"
    return f"{pid} {words}"
