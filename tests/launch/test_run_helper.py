"""RunHelper as a trainer uses it: from threads and loops of its own, with servers that die, until it is killed."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop

from nemo_gym.config.initial import GlobalConfigDictParserConfig
from nemo_gym.errors import ConfigError, LaunchError
from nemo_gym.launch.run_helper import RunHelper
from nemo_gym.serving.run_token import bearer
from nemo_gym.serving.runs import live_runs
from tests.launch.toys import GOOD, is_alive, processes_of, write_toy

PATIENCE_S = 60.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def helper() -> Iterator[RunHelper]:
    helper = RunHelper()
    yield helper
    helper.shutdown()


def given(folder: Path, codes: dict[str, str], **values: object) -> GlobalConfigDictParserConfig:
    for name, code in codes.items():
        write_toy(folder, name, code)
    servers = {name: {"resources_servers": {name: {"entrypoint": "app.py"}}} for name in codes}
    return GlobalConfigDictParserConfig(initial_global_config_dict=servers | values, skip_load_from_cli=True)


def answer_of(helper: RunHelper, server: str) -> str:
    return httpx.get(helper._server_client.url_of(server)).text


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.02)


def complaint(helper: RunHelper) -> str:
    """What `poll` raises, once it does."""
    said: list[str] = []

    def polled() -> bool:
        try:
            helper.poll()
        except LaunchError as error:
            said.append(str(error))
        return bool(said)

    until(polled)
    return said[0]


def pid_of(helper: RunHelper, server: str) -> int:
    head = helper._server_client.head_server_config
    assert head is not None
    [pid] = [
        each["pid"]
        for each in httpx.get(
            f"http://{head.host}:{head.port}/server_instances", headers=bearer(helper._server_client.token)
        ).json()
        if each["process_name"] == server
    ]
    return int(pid)


def test_start_returns_when_servers_answer_and_shutdown_when_they_are_gone(folder: Path, helper: RunHelper) -> None:
    slow = "time.sleep(0.3)\n" + GOOD
    helper.start(global_config_dict_parser_config=given(folder, {"one": GOOD, "slow": slow}))
    helper.wait_for_spinup()
    assert answer_of(helper, "one") == answer_of(helper, "slow") == "hello"
    helper.poll()
    [run] = live_runs(folder)
    pids = processes_of(run.run_id)
    helper.shutdown()
    assert pids and not any(map(is_alive, pids))
    helper.shutdown()
    with pytest.raises(LaunchError, match=r"call start\(\)"):
        helper.poll()


def test_it_can_be_started_again_after_shutdown_but_not_before(folder: Path, helper: RunHelper) -> None:
    config = given(folder, {"one": GOOD})
    helper.start(config)
    with pytest.raises(LaunchError, match="run already"):
        helper.start(config)
    helper.shutdown()
    helper.start(config)
    assert answer_of(helper, "one") == "hello"


def test_the_head_server_answers_where_the_configuration_puts_it(folder: Path, helper: RunHelper) -> None:
    with httpx.Client() as probe:
        helper.start(given(folder, {"one": GOOD}, head_server={"host": "0.0.0.0", "port": 23517}))
        assert probe.get("http://127.0.0.1:23517/").json() == {"status": "ok"}
        head = helper._server_client.head_server_config
        assert head is not None and head.port == 23517 and probe.get(f"http://{head.host}:23517/").status_code == 200


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_it_is_started_inside_a_running_loop(new_loop: Any, folder: Path, helper: RunHelper) -> None:
    async def actor() -> str:
        helper.start(given(folder, {"one": GOOD}))
        return await asyncio.to_thread(answer_of, helper, "one")

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(actor()) == "hello"


def test_the_programs_own_garbage_stays_collectable(folder: Path, helper: RunHelper) -> None:
    before = gc.get_freeze_count()
    helper.start(given(folder, {"one": GOOD}))
    assert gc.get_freeze_count() == before


def test_servers_outlive_the_thread_that_called_start(folder: Path, helper: RunHelper) -> None:
    thread = threading.Thread(target=helper.start, args=(given(folder, {"one": GOOD}),))
    thread.start()
    thread.join()
    pid = pid_of(helper, "one")
    assert answer_of(helper, "one") == "hello"
    assert pid_of(helper, "one") == pid
    helper.poll()


def test_start_raises_every_mistake_and_leaves_nothing(folder: Path, helper: RunHelper) -> None:
    config = given(folder, {"one": GOOD}, config_paths=["absent.yaml"], default_host="http://x")
    with pytest.raises(ConfigError) as caught:
        helper.start(config)
    assert {problem.key for problem in caught.value.problems} == {"config_paths", "default_host"}
    assert live_runs(folder) == []


def test_start_names_the_server_that_does_not_start_and_leaves_nothing(folder: Path, helper: RunHelper) -> None:
    with pytest.raises(LaunchError, match=r"bad ended before it was ready with exit code 7"):
        helper.start(given(folder, {"good": GOOD, "bad": "sys.exit(7)"}))
    [run] = (folder / ".nemo_gym" / "runs").iterdir()
    assert processes_of(run.name) == []
    helper.start(given(folder, {"good": GOOD}))


def test_poll_names_a_dead_process_once_and_it_is_started_again(folder: Path, helper: RunHelper) -> None:
    helper.start(given(folder, {"one": GOOD, "two": GOOD}))
    pid = pid_of(helper, "two")
    os.kill(pid, signal.SIGKILL)
    assert "two ended with signal SIGKILL" in complaint(helper)
    assert answer_of(helper, "two") == "hello"
    helper.poll()


def test_poll_keeps_raising_once_a_server_is_given_up_and_nobody_waits_for_it(folder: Path, helper: RunHelper) -> None:
    helper.start(given(folder, {"one": GOOD, "two": GOOD}, on_server_exit="stop"))
    os.kill(pid_of(helper, "two"), signal.SIGKILL)
    for _ in range(2):
        assert "two ended with signal SIGKILL" in complaint(helper)
    with pytest.raises(httpx.ConnectError):
        answer_of(helper, "two")
    assert answer_of(helper, "one") == "hello"


PROGRAM = """
import asyncio, multiprocessing, os, sys, threading, time
from nemo_gym.config.initial import GlobalConfigDictParserConfig
from nemo_gym.launch.run_helper import RunHelper

def start():
    helper = RunHelper()
    servers = {"one": {"resources_servers": {"one": {"entrypoint": "app.py"}}}}
    helper.start(GlobalConfigDictParserConfig(initial_global_config_dict=servers, skip_load_from_cli=True))
    print("started", flush=True)
    return helper

"""
PROGRAMS = {
    "waits in a loop": "async def actor():\n    helper = start()\n    await asyncio.sleep(600)\nasyncio.run(actor())",
    "started in a thread that ended": "thread = threading.Thread(target=start); thread.start(); thread.join()\n"
    "time.sleep(600)",
    "holds the interpreter": "import re\nhelper = start()\nre.match(r'(a*)*b', 'a' * 64)",
}


def run_program(folder: Path, code: str) -> tuple[subprocess.Popen[str], list[int]]:
    """The program once it has started a server, and all processes of its run."""
    write_toy(folder, "one", GOOD)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM + code],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "started\n", process.stderr.read()
    [run] = (folder / ".nemo_gym" / "runs").iterdir()
    pids = processes_of(run.name)
    assert pids
    return process, pids


@pytest.mark.e2e
@pytest.mark.parametrize("code", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_nothing_remains_of_a_killed_program_that(code: str, tmp_path: Path) -> None:
    process, pids = run_program(tmp_path, code)
    process.kill()
    process.communicate()
    until(lambda: not any(map(is_alive, pids)))
    assert live_runs(tmp_path) == []


ENDINGS = {
    "ends": ("helper = start(); input()", 0, ""),
    "raises": ("helper = start(); input()\nraise RuntimeError('out of memory')", 1, "RuntimeError: out of memory"),
    "forks, and the fork exits first": (
        "helper = start(); input()\nif os.fork() == 0:\n    sys.exit(0)\nos.wait()\nhelper.poll()\nhelper.shutdown()",
        0,
        "",
    ),
}


@pytest.mark.e2e
@pytest.mark.parametrize(("code", "exit_code", "says"), ENDINGS.values(), ids=ENDINGS.keys())
def test_the_servers_end_with_a_program_that(code: str, exit_code: int, says: str, tmp_path: Path) -> None:
    process, pids = run_program(tmp_path, code)
    _, err = process.communicate("\n", timeout=PATIENCE_S)
    assert process.returncode == exit_code
    assert says in err and "nemo_gym" not in err
    until(lambda: not any(map(is_alive, pids)))


@pytest.mark.e2e
def test_an_interrupt_while_servers_start_ends_them(tmp_path: Path) -> None:
    write_toy(tmp_path, "one", "print('starting', flush=True); time.sleep(600)")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM + "start()"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    runs = tmp_path / ".nemo_gym" / "runs"
    until(lambda: runs.is_dir() and any(log.stat().st_size for log in runs.glob("*/one.log")))
    [run] = runs.iterdir()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert "KeyboardInterrupt" in err
    assert processes_of(run.name) == []
