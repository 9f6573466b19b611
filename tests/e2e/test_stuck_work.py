"""Stuck work in a real run: `ng_status` names it, and all of it ends when the collector is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nemo_gym.serving.runs import fetch_status, find_head
from tests.e2e.documents import environment, running, shell
from tests.launch.toys import is_alive
from tests.rows import row_asking

pytestmark = pytest.mark.e2e

PATIENCE_S = 30.0
APP = """
import asyncio, os
from pathlib import Path
from nemo_gym.base_resources_server import BaseVerifyRequest, BaseVerifyResponse, SimpleResourcesServer
from nemo_gym.sandbox.opening import open_sandbox
from resources_servers.stalling.endless import spin

class Stalling(SimpleResourcesServer):
    def setup_webserver(self):
        app = super().setup_webserver()
        app.post("/lookup")(self.lookup)
        app.post("/crunch")(self.crunch)
        app.post("/shell")(self.shell)
        return app

    async def lookup(self) -> str:
        await asyncio.Event().wait()

    async def crunch(self) -> str:
        return await self.run_cpu(spin, timeout_s=600)

    async def shell(self) -> str:
        async with open_sandbox("subprocess_not_secure") as sandbox:
            noted = Path(__file__).parents[2] / "shell.pid"
            await sandbox.run(f"echo $$ > {noted}; sleep 600; sleep 601", timeout_s=600)

    async def verify(self, body: BaseVerifyRequest) -> BaseVerifyResponse:
        await asyncio.Event().wait()

if __name__ == "__main__":
    Stalling.run_webserver()
"""
ENDLESS = """
import os
from pathlib import Path

def spin():
    (Path(__file__).parents[2] / "crunch.pid").write_text(str(os.getpid()))
    while True:
        pass
"""
POLICY = """
from nemo_gym.reference_policies import function_call

def play(turn):
    return [function_call(turn.tools[0]["name"], {})] if turn.tools else "done"
"""
CONFIG = """
stalling: {{resources_servers: {{stalling: {{entrypoint: app.py}}}}}}
scripted: {{responses_api_models: {{scripted_model: {{
  entrypoint: app.py, environment: [], policy: "{folder}/policy.py:play"}}}}}}
silent: {{responses_api_models: {{openai_model: {{
  entrypoint: app.py, openai_base_url: "{url}", openai_model: m}}}}}}
scripted_agent: {{responses_api_agents: {{simple_agent: {{entrypoint: app.py,
  resources_server: {{type: resources_servers, name: stalling}},
  model_server: {{type: responses_api_models, name: scripted}}}}}}}}
silent_agent: {{responses_api_agents: {{simple_agent: {{entrypoint: app.py,
  resources_server: {{type: resources_servers, name: stalling}},
  model_server: {{type: responses_api_models, name: silent}}}}}}}}
"""
STALLS = {
    "lookup": r"scripted_agent\): tool lookup of stalling for \d.* s; there: /lookup is at work for",
    "crunch": r"scripted_agent\): tool crunch of stalling for \d.* s; there: spin of a child process for",
    "shell": r"scripted_agent\): tool shell of stalling for \d.* s; there: /shell is at work for",
    "verify": r"scripted_agent\): verify of stalling for \d.* s; there: /verify is at work for",
    "model": r"silent_agent\): model call 1 of silent for \d.* s; there: an answer of {url} for",
}


class SilentEndpoint:
    """Takes connections and never answers."""

    def __init__(self) -> None:
        self.open = 0
        self._listen = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listen.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listen.accept()
            self.open += 1
            threading.Thread(target=self._read, args=[connection], daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with connection:
            while connection.recv(65536):
                pass
        self.open -= 1


@pytest.fixture(scope="module")
def endpoint() -> SilentEndpoint:
    return SilentEndpoint()


@pytest.fixture(scope="module")
def folder(endpoint: SilentEndpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run whose every stage can stall, and the task rows that make it."""
    folder = tmp_path_factory.mktemp("stalls")
    home = folder / "resources_servers" / "stalling"
    home.mkdir(parents=True)
    (home / "app.py").write_text(APP)
    (home / "endless.py").write_text(ENDLESS)
    (folder / "policy.py").write_text(POLICY)
    (folder / "stalls.yaml").write_text(CONFIG.format(folder=folder, url=endpoint.url))
    rows = []
    for stage in STALLS:
        tools = (stage,) if stage in ("lookup", "crunch", "shell") else ()
        agent = "silent_agent" if stage == "model" else "scripted_agent"
        rows.append(row_asking(stage, tools, agent_ref={"type": "responses_api_agents", "name": agent}))
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with running('ng_run "+config_paths=[stalls.yaml]"', folder):
        yield folder


@pytest.fixture
def collector(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = ["ng_collect_rollouts", "+input_jsonl_fpath=tasks.jsonl", "+output_jsonl_fpath=out.jsonl"]
    with subprocess.Popen([*command, "+overwrite=true"], cwd=folder, env=environment()) as process:
        yield process
        process.kill()


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def pid_in(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().strip() != "", f"{path.name} is not written")
    return int(path.read_text())


def test_each_stall_is_named_and_ends_with_the_collector(
    folder: Path, endpoint: SilentEndpoint, collector: subprocess.Popen[bytes]
) -> None:
    shown = ""

    def all_named() -> bool:
        nonlocal shown
        shown = shell("ng_status +longer_than_s=1", folder)
        return all(re.search(pattern.format(url=re.escape(endpoint.url)), shown) for pattern in STALLS.values())

    until(all_named, "not all is named")
    for number, stage in enumerate(STALLS):
        assert re.search(rf"^task {number}, rollout 0 \(\w+\): .*{stage}", shown, re.MULTILINE), shown

    pids = [pid_in(folder / "crunch.pid"), pid_in(folder / "shell.pid")]
    collector.send_signal(signal.SIGKILL)
    until(lambda: not any(map(is_alive, pids)), "a tool's process outlives the collector")
    until(lambda: endpoint.open == 0, "a request to the endpoint outlives the collector")
    until(lambda: "waiting for more" not in shell("ng_status +longer_than_s=0", folder), "work outlives the collector")


async def test_a_server_that_answers_nothing_at_all_is_named(folder: Path) -> None:
    [stalling] = [each for each in await fetch_status(find_head(folder)) if each.name == "stalling"]
    assert stalling.pid is not None
    os.kill(stalling.pid, signal.SIGSTOP)
    try:
        shown = shell("ng_status", folder)
    finally:
        os.kill(stalling.pid, signal.SIGCONT)
    assert f"stalling (pid {stalling.pid}) does not answer: a handler holds up its event loop" in shown
