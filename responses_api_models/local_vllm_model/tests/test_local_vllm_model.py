"""local_vllm_model: starts, waits for, restarts and ends a stand-in for vLLM; processes are real."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.errors import ConfigError, LaunchError
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.run_token import bearer
from nemo_gym.serving.runs import fetch_directory, find_run
from responses_api_models.local_vllm_model.engine import TETHER

Json = dict[str, Any]
FAKE = Path(__file__).with_name("fake")


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


async def ask(http: HttpClient, url: str, rollout: str = "r", token: str | None = None) -> Json:
    """What the vLLM that answers says of itself."""
    headers = {"x-ng-rollout-id": rollout, **bearer(token)}
    answer = await http.request("POST", f"{url}/v1/responses", json={"input": "Hi"}, headers=headers, timeout_s=60)
    assert answer.ok, answer.text
    about: Json = json.loads(answer.parse()["output"][0]["content"][0]["text"])
    return about


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(20):
        while is_running(pid):  # noqa: ASYNC110 - nobody tells of another's grandchild
            await asyncio.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_vllm_is_started_as_configured_and_ended_with_all_it_started(stage: Any, http: HttpClient) -> None:
    settings = {"return_token_id_information": True, "vllm_serve_kwargs": {"max_model_len": 64}, "gpus": [3]}
    url = await stage.local(**settings)
    about = await ask(http, url)
    words = about["arguments"]
    where = words.index("--port")
    assert words[:where] == ["--model", "tiny", "--served-model-name", "tiny", "--host", "127.0.0.1"]
    assert words[where + 2 :] == ["--logprobs-mode", "processed_logprobs", "--max-model-len", "64"]
    assert about["gpus"] == "3"
    assert about["key"]
    assert is_running(about["child"])
    await stage.kill(url)
    await until_gone(about["pid"])
    await until_gone(about["child"])


@pytest.mark.parametrize(
    ("with_tokens", "set_by_user", "expected"), [(False, None, None), (True, None, "0"), (True, "1", "1")]
)
async def test_with_tokens_no_grammar_chooses_among_them_unless_asked_for(
    stage: Any,
    http: HttpClient,
    monkeypatch: pytest.MonkeyPatch,
    with_tokens: bool,
    set_by_user: str | None,
    expected: str | None,
) -> None:
    if set_by_user is not None:
        monkeypatch.setenv("VLLM_ENFORCE_STRICT_TOOL_CALLING", set_by_user)
    about = await ask(http, await stage.local(return_token_id_information=with_tokens))
    assert about["strict_tools"] == expected


async def test_replicas_share_the_gpus_and_rollouts_spread_over_them(stage: Any, http: HttpClient) -> None:
    url = await stage.local(num_replicas=2, tensor_parallel_size=2)
    seen = {(about["pid"], about["gpus"]) for about in [await ask(http, url, f"r{index}") for index in range(12)]}
    assert {gpus for _, gpus in seen} == {"0,1", "2,3"}
    assert len(seen) == 2


async def test_a_vllm_that_cannot_start_ends_the_start_with_its_last_lines(stage: Any) -> None:
    with pytest.raises(LaunchError, match=r"(?s)vllm ended before it was ready, with exit code 1.*No such model"):
        await stage.local(variables={"FAKE_VLLM_FAILS": "ValueError: No such model"})


async def test_a_vllm_that_takes_too_long_ends_the_start(stage: Any) -> None:
    with pytest.raises(LaunchError, match="vllm_start_timeout_s"):
        await stage.local(python=sys.executable, vllm_start_timeout_s=0.01, variables={"FAKE_VLLM_LOADS_S": "600"})


async def test_an_interpreter_that_is_none_is_named(stage: Any) -> None:
    with pytest.raises(LaunchError, match="/nowhere/python"):
        await stage.local(python="/nowhere/python")


async def test_a_request_survives_the_death_of_its_vllm(stage: Any, http: HttpClient, tmp_path: Path) -> None:
    deaths = tmp_path / "deaths"
    deaths.write_text("once")
    url = await stage.local(variables={"FAKE_VLLM_DEATHS": str(deaths)})
    assert (await ask(http, url))["pid"]
    assert deaths.read_text() == ""


async def test_a_vllm_that_dies_too_often_ends_the_server(
    stage: Any, http: HttpClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: told.append(number) if pid == os.getpid() else None)
    deaths = tmp_path / "deaths"
    deaths.write_text("once\ntwice")
    url = await stage.local(variables={"FAKE_VLLM_DEATHS": str(deaths)}, max_restarts=1, timeout_s=4)
    headers = {"x-ng-rollout-id": "r"}
    answer = await http.request("POST", f"{url}/v1/responses", json={"input": "Hi"}, headers=headers, timeout_s=60)
    assert answer.status == 504
    assert told == [signal.SIGTERM]


async def test_vllm_ends_with_all_it_started_when_its_server_is_killed(tmp_path: Path) -> None:
    server = tmp_path / "server.py"
    server.write_text(f"""
import subprocess, sys, time
command = [sys.executable, "-c", "import os, subprocess, time; "
    "print(os.getpid(), subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"]
subprocess.Popen([sys.executable, {str(TETHER)!r}, *command], stdin=subprocess.PIPE, start_new_session=True)
time.sleep(600)
""")
    process = await asyncio.create_subprocess_exec(sys.executable, server, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    pids = (await asyncio.wait_for(process.stdout.readline(), 20)).split()
    process.kill()
    assert len(pids) == 2
    for pid in pids:
        await until_gone(int(pid))
    await process.wait()


async def test_nothing_is_left_at_whatever_moment_of_its_start_vllm_is_told_to_stop(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)", str(tmp_path)]
    for moment in range(30):
        tether = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(TETHER), *command), stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        await asyncio.sleep(moment * 0.004)
        tether.terminate()
        await asyncio.wait_for(tether.wait(), 20)
    assert processes_with(str(tmp_path)) == []


def processes_with(word: str) -> list[str]:
    """Numbers of the processes that have this word in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if word.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(process.name)
    return found


@pytest.mark.e2e
async def test_nothing_is_left_when_the_launcher_is_killed(http: HttpClient, tmp_path: Path) -> None:
    settings = {"entrypoint": "app.py", "model": "tiny", "vllm_serve_env_vars": {"PYTHONPATH": str(FAKE)}}
    config = tmp_path / "local.yaml"
    config.write_text(json.dumps({"policy_model": {"responses_api_models": {"local_vllm_model": settings}}}))
    launcher = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("ng_run")), f"+config_paths=[{config}]"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert launcher.stdout is not None
    said = b""
    while b" ready" not in said:
        said = await asyncio.wait_for(launcher.stdout.readline(), 60)
        assert said
    head_url, token = find_run(tmp_path)
    directory = await fetch_directory(head_url, token=token)
    about = await ask(http, directory["policy_model"].urls[0], token=token)
    launcher.kill()
    await until_gone(about["pid"])
    await until_gone(about["child"])
    await launcher.wait()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"vllm_serve_kwargs": {"port": 1}}, "vllm_serve_kwargs.port"),
        ({"gpus": [0, 1, 2], "num_replicas": 2}, "3 GPUs cannot be shared evenly by 2 replicas"),
        ({"gpus": [0, 1, 2], "tensor_parallel_size": 2}, "tensor_parallel_size: 2"),
        ({"num_workers": 2}, "num_workers"),
    ],
)
async def test_settings_that_do_not_go_together_are_refused(stage: Any, settings: Json, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        await stage.local(**settings)
