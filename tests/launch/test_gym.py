"""Gyms of toy servers in real processes: start, faults, restart, stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from nemo_gym.config.instance import GymConfig
from nemo_gym.errors import ConfigError, LaunchError
from nemo_gym.launch.gym import Gym, running_gym
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.run_token import bearer
from nemo_gym.serving.runs import fetch_directory, fetch_status, find_head, live_runs
from tests.launch.toys import GOOD, STUBBORN, is_alive, processes_of

MakeConfig = Callable[..., GymConfig]
PROC = Path("/proc")


class Heard:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.notices: list[str] = []
        self._changed = asyncio.Event()

    def line(self, server: str, text: str) -> None:
        self.lines.append((server, text))
        self._changed.set()

    def notice(self, text: str) -> None:
        self.notices.append(text)
        self._changed.set()

    async def until(self, condition: Callable[[Heard], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()


async def get_text(gym: Gym, server: str) -> str:
    http = HttpClient()
    try:
        return (await http.request("GET", gym.directory[server].urls[0] + "/", timeout_s=10)).text
    finally:
        await http.close()


async def test_servers_answer_once_the_gym_is_entered_and_are_gone_after_it(
    toy_config: MakeConfig, tmp_path: Path
) -> None:
    async with running_gym(toy_config({"one": GOOD, "two": GOOD}), cwd=tmp_path) as gym:
        pids = [status.pid for status in gym.statuses()]
        assert all(pid is not None and is_alive(pid) for pid in pids)
        assert {status.state for status in gym.statuses()} == {"ready"}
        assert await get_text(gym, "one") == "hello"
        gym.poll()
    assert not any(is_alive(pid) for pid in pids if pid)


async def test_requests_sent_while_a_server_starts_wait_for_it(toy_config: MakeConfig, tmp_path: Path) -> None:
    slow = 'import time; time.sleep(0.5); report(event="ready"); answer("at last")'
    async with running_gym(toy_config({"slow": slow}), cwd=tmp_path) as gym:
        assert await get_text(gym, "slow") == "at last"


async def test_the_head_server_lists_servers_and_is_found_from_the_folder(
    toy_config: MakeConfig, tmp_path: Path
) -> None:
    async with running_gym(toy_config({"one": GOOD}, policy_api_key="sk-very-secret"), cwd=tmp_path) as gym:
        assert find_head(tmp_path) == gym.head_url
        assert await fetch_directory(gym.head_url) == gym.directory
        [status] = await fetch_status(gym.head_url)
        assert (status.name, status.state, status.restarts) == ("one", "ready", 0)
        assert status.memory_bytes and status.memory_bytes > 1_000_000
        http = HttpClient()
        url = gym.head_url + "/global_config_dict_yaml"
        shown = (await http.request("GET", url, headers=bearer(gym.token), timeout_s=10)).text
        await http.close()
        assert "policy_api_key" in json.loads(shown)
        assert "sk-very-secret" not in shown and gym.token not in shown
    assert live_runs(tmp_path) == []


async def test_no_secret_is_in_arguments_environment_or_run_folder(toy_config: MakeConfig, tmp_path: Path) -> None:
    config = toy_config({"one": GOOD})
    config.instances["one"].settings["api_key"] = "sk-very-secret"
    async with running_gym(config, cwd=tmp_path) as gym:
        pid = gym.statuses()[0].pid
        run = tmp_path / ".nemo_gym" / "runs" / gym.run_id
        assert run.stat().st_mode & 0o077 == 0
        places = [PROC / f"{pid}/cmdline", PROC / f"{pid}/environ", *run.iterdir()]
        assert len(places) > 4
        assert not any(b"sk-very-secret" in place.read_bytes() for place in places)


async def test_a_specification_larger_than_a_pipe_arrives_whole(toy_config: MakeConfig, tmp_path: Path) -> None:
    config = toy_config({"one": 'report(event="ready"); answer(str(len(spec["settings"]["long"])))'})
    config.instances["one"].settings["long"] = "x" * 1_000_000
    async with running_gym(config, cwd=tmp_path) as gym:
        assert await get_text(gym, "one") == "1000000"


async def test_a_server_that_dies_before_it_is_ready_stops_the_start_with_its_last_lines(
    toy_config: MakeConfig, tmp_path: Path
) -> None:
    bad = 'print("about to fail", flush=True); sys.exit(7)'
    gym = running_gym(toy_config({"good": GOOD, "bad": bad}), cwd=tmp_path)
    with pytest.raises(LaunchError) as caught:
        await gym.__aenter__()
    text = str(caught.value)
    assert "bad ended before it was ready with exit code 7" in text and "about to fail" in text
    assert len(text.splitlines()) <= 10
    assert all(status.pid is None for status in gym.statuses())


async def test_problems_of_all_servers_configurations_come_together(toy_config: MakeConfig, tmp_path: Path) -> None:
    def bad(key: str) -> str:
        return f"""
            report(event="failed", problems=[{{"file": "toy.yaml", "key": "{key}", "message": "is wrong"}}])
            sys.exit(2)
        """

    with pytest.raises(ConfigError) as caught:
        await running_gym(toy_config({"a": bad("a.x"), "b": bad("b.y"), "c": GOOD}), cwd=tmp_path).__aenter__()
    assert sorted(str(problem) for problem in caught.value.problems) == [
        "toy.yaml: `a.x`: is wrong",
        "toy.yaml: `b.y`: is wrong",
    ]


async def test_a_server_that_never_gets_ready_is_named_after_the_deadline(
    toy_config: MakeConfig, tmp_path: Path
) -> None:
    with pytest.raises(LaunchError, match=r"stuck is not ready after 0\.3 s"):
        await running_gym(toy_config({"stuck": "time.sleep(60)"}, start_timeout_s=0.3), cwd=tmp_path).__aenter__()


async def test_a_server_killed_by_a_signal_is_named_and_started_again_on_its_address(
    toy_config: MakeConfig, tmp_path: Path
) -> None:
    heard = Heard()
    async with running_gym(toy_config({"one": GOOD}), cwd=tmp_path, observer=heard) as gym:
        pid = gym.statuses()[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGSEGV)
        await heard.until(lambda heard: "one is ready again." in heard.notices)
        assert "one ended with signal SIGSEGV" in heard.notices[0]
        assert gym.statuses()[0].restarts == 1
        assert await get_text(gym, "one") == "hello"
        gym.poll()


async def test_a_request_made_while_a_server_restarts_is_answered_by_the_next_process(
    toy_config: MakeConfig, tmp_path: Path
) -> None:
    heard = Heard()
    code = 'report(event="ready"); answer(str(os.getpid()))'
    async with running_gym(toy_config({"one": code}), cwd=tmp_path, observer=heard) as gym:
        pid = gym.statuses()[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await heard.until(lambda heard: bool(heard.notices))
        assert int(await get_text(gym, "one")) != pid


async def test_restarts_are_bounded_and_then_the_run_fails(toy_config: MakeConfig, tmp_path: Path) -> None:
    code = 'report(event="ready"); time.sleep(0.05); sys.exit(3)'
    heard = Heard()
    async with running_gym(toy_config({"bad": code}, max_restarts=2), cwd=tmp_path, observer=heard) as gym:
        with pytest.raises(LaunchError, match=r"bad ended with exit code 3(.|\n)*started again 2 times"):
            await asyncio.wait_for(gym.wait(), 30)
        with pytest.raises(LaunchError):
            gym.poll()
        assert gym.statuses()[0].restarts == 2


async def test_the_first_death_fails_the_run_where_the_configuration_says_stop(
    toy_config: MakeConfig, tmp_path: Path
) -> None:
    code = 'report(event="ready"); time.sleep(0.05); print("bye", flush=True); sys.exit(3)'
    async with running_gym(toy_config({"bad": code}, on_server_exit="stop"), cwd=tmp_path) as gym:
        with pytest.raises(LaunchError, match=r"bad ended with exit code 3(.|\n)*bye"):
            await asyncio.wait_for(gym.wait(), 30)


async def test_lines_of_any_length_and_bytes_survive(toy_config: MakeConfig, tmp_path: Path) -> None:
    code = """
        sys.stdout.buffer.write(b"long " + b"x" * 300_000 + b"\\n")
        sys.stdout.buffer.write(b"not \\xff\\xfe utf-8\\n")
        sys.stdout.buffer.write(b"no end of line")
        report(event="ready")
        answer("hello")
    """
    heard = Heard()
    async with running_gym(toy_config({"one": code}), cwd=tmp_path, observer=heard) as gym:
        await heard.until(lambda heard: any("utf-8" in text for _, text in heard.lines))
        run = tmp_path / ".nemo_gym" / "runs" / gym.run_id
    assert "".join(text for _, text in heard.lines[:-2]) == "long " + "x" * 300_000
    assert heard.lines[-2:] == [("one", "not �� utf-8"), ("one", "no end of line")]
    assert (run / "one.log").read_bytes().startswith(b"long " + b"x" * 300_000 + b"\nnot \xff\xfe utf-8\n")


async def test_a_chatty_server_is_not_held_up(toy_config: MakeConfig, tmp_path: Path) -> None:
    code = """
        for number in range(200_000):
            print("line", number)
        report(event="ready")
        answer("hello")
    """
    async with running_gym(toy_config({"chatty": code}), cwd=tmp_path) as gym:
        run = tmp_path / ".nemo_gym" / "runs" / gym.run_id
    assert (run / "chatty.log").read_bytes().count(b"\n") == 200_000


@pytest.mark.parametrize("code", STUBBORN.values(), ids=STUBBORN.keys())
async def test_stop_leaves_no_process_of_a_server_that(code: str, toy_config: MakeConfig, tmp_path: Path) -> None:
    async with running_gym(toy_config({"stubborn": code}, shutdown_grace_s=0.2), cwd=tmp_path) as gym:
        pids = processes_of(gym.run_id)
        assert pids
    assert [pid for pid in pids if is_alive(pid)] == []
