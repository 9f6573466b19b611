from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.errors import SandboxError
from nemo_gym.serving.http_response import HttpResponse
from nemo_gym.testclient import InProcessGym
from resources_servers.mini_swe.policies import block, repair_script
from resources_servers.mini_swe.prompts import SUBMIT_MARKER
from resources_servers.mini_swe.tests.sandbox_here import needs_sandbox, problem

FOLDER = Path(__file__).resolve().parents[1]
ROOT = FOLDER.parents[1]
ROWS = [json.loads(line) for line in (FOLDER / "data" / "example.jsonl").read_text(encoding="utf-8").splitlines()]
ROW = ROWS[0]
SUBMIT = f"echo {SUBMIT_MARKER}"
REPAIR = "python3 - <<'REPAIR'\n" + "".join(map(repair_script, ROW["fix"])) + "REPAIR"


class Session:
    """One session at the server under test."""

    def __init__(self, gym: InProcessGym, row: dict[str, Any] = ROW) -> None:
        self._gym, self._row = gym, row
        self._cookies: dict[str, str] = {}

    async def post(self, path: str, **more: Any) -> HttpResponse:
        answer = await self._gym.client.post("mini_swe", path, {**self._row, **more}, cookies=self._cookies)
        self._cookies.update(answer.cookies)
        return answer

    async def say(self, text: str) -> dict[str, Any]:
        """One step with this text; the answer of `/step`."""
        answer = await self.post("/step", response=response(text))
        assert answer.status == 200, answer.text
        return answer.parse()

    async def run(self, command: str) -> str:
        """One command; what the policy is told."""
        step = await self.say(block("", command))
        assert not step["terminated"] and not step["truncated"], step
        return step["observation"]

    async def verify(self) -> dict[str, Any]:
        answer = await self.post("/verify", response=response(""))
        assert answer.status == 200, answer.text
        return answer.parse()


def response(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}
    return {"id": "resp_0", "object": "response", "created_at": 0, "model": "test", "output": [message]}


def is_in_use(folder: Path) -> bool:
    return any(folder.iterdir())


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[InProcessGym]:
    async with InProcessGym() as gym:
        gym.add("mini_swe", FOLDER, **settings)
        yield gym


@asynccontextmanager
async def session(row: dict[str, Any] = ROW, **settings: Any) -> AsyncIterator[Session]:
    async with serving(**settings) as gym:
        one = Session(gym, row)
        assert (await one.post("/reset")).parse()["observation"] is None
        yield one


@needs_sandbox
async def test_the_right_repair_earns_the_full_reward_and_leaves_no_sandbox_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with session() as one:
        assert "shelf/cache.py" in await one.run("find . -name '*.py'")
        assert is_in_use(tmp_path)
        assert await one.run(REPAIR) == "<exit_code>0</exit_code>\n<output>\n</output>"
        step = await one.say(block("Done.", SUBMIT))
        assert (step["reward"], step["terminated"], step["info"]["submitted"]) == (1.0, True, True)
        assert not is_in_use(tmp_path)
        result = await one.verify()
    assert (result["reward"], result["outcome"], result["submitted"]) == (1.0, "resolved", True)
    assert (result["failed_tests"], result["num_commands"]) == ({}, 3)
    assert result["model_patch"].startswith("--- a/shelf/cache.py\n+++ b/shelf/cache.py\n@@ ")


@needs_sandbox
async def test_neither_the_hidden_tests_nor_the_host_are_to_be_found_in_the_sandbox() -> None:
    async with session() as one:
        name = ROW["FAIL_TO_PASS"][0].rpartition(".")[2]
        assert name not in await one.run(f"grep -rl {name[:-1]}[{name[-1]}] /work /tmp /proc/*/environ /proc/*/cmdline")
        assert "resources_servers" not in await one.run("find / -name resources_server[s] 2>/dev/null")


@needs_sandbox
async def test_files_stay_between_commands_and_shells_do_not() -> None:
    async with session() as one:
        await one.run("mkdir -p deep && cd deep && export WORD=x && echo kept > file")
        assert await one.run('echo "$WORD"; basename "$PWD"; cat deep/file') == (
            "<exit_code>0</exit_code>\n<output>\n\nwork\nkept\n</output>"
        )
        assert (await one.run("echo out; echo err >&2; exit 3")).startswith(
            "<exit_code>3</exit_code>\n<output>\nout\nerr"
        )


@needs_sandbox
async def test_long_output_is_cut_in_the_middle_and_says_how_much_is_missing() -> None:
    async with session(output_bytes=1000) as one:
        told = await one.run("echo first; seq 1 100000; echo last")
        assert "first\n1\n2\n" in told and told.endswith("100000\nlast\n</output>")
        assert "bytes left out" in told and len(told) < 1200


@needs_sandbox
@pytest.mark.parametrize(
    "command",
    ["sleep 60", "yes", "kill -9 -1", ":(){ :|:& };:", "cat /dev/zero | tr '\\0' x | tail -c 5", "sleep 60 & disown"],
)
async def test_a_hostile_command_ends_and_the_next_one_works(command: str) -> None:
    async with session(command_timeout_s=0.4) as one:
        await one.run(command)
        assert await one.run("echo still here") == "<exit_code>0</exit_code>\n<output>\nstill here\n</output>"


@needs_sandbox
async def test_the_policy_is_told_of_a_timeout_and_of_the_last_turns() -> None:
    async with session(command_timeout_s=0.2, max_turns=3) as one:
        assert await one.run("echo a; sleep 60") == (
            "<exit_code>stopped: it ran longer than 0.2 s</exit_code>\n<output>\na\n</output>\n(2 turns left.)"
        )
        assert (await one.run("true")).endswith("(1 turn left.)")
        assert (await one.say(block("", "true")))["truncated"]


@needs_sandbox
async def test_only_a_first_line_of_a_command_that_succeeds_submits() -> None:
    async with session() as one:
        for command in (
            f"echo so; {SUBMIT}",
            f"{SUBMIT}; exit 1",
            f"echo {SUBMIT_MARKER}!",
            f"{SUBMIT}; sleep 0 | false",
        ):
            await one.run(command)
        assert (await one.say(block("", f"echo; {SUBMIT}; echo more")))["terminated"]


@needs_sandbox
async def test_what_was_never_submitted_is_scored_unless_the_configuration_says_otherwise() -> None:
    for scored, reward, outcome in ((True, 1.0, "resolved"), (False, 0.0, "not_submitted")):
        async with session(score_unsubmitted=scored, max_turns=1) as one:
            step = await one.say(block("", REPAIR))
            assert (step["truncated"], step["reward"]) == (True, reward)
            assert (await one.verify())["outcome"] == outcome
    async with session() as one:
        await one.run(REPAIR)
        assert (await one.verify())["reward"] == 1.0, "the agent stopped by itself"


@needs_sandbox
async def test_a_partial_repair_earns_nothing_or_its_share() -> None:
    row = {**ROW, "FAIL_TO_PASS": [*ROW["FAIL_TO_PASS"], "test_shelf.ExpiryTest.test_not_there"]}
    for partial, reward in ((False, 0.0), (True, 0.5)):
        async with session(row, partial_reward=partial) as one:
            await one.run(REPAIR)
            result = await one.verify()
            assert (result["reward"], result["outcome"]) == (reward, "failed_tests")
            assert list(result["failed_tests"]) == ["test_shelf.ExpiryTest.test_not_there"]


async def test_turns_without_a_command_are_answered_and_end_the_episode_without_a_sandbox() -> None:
    async with session(sandbox="docker", max_format_errors=2) as one:
        step = await one.say("I have repaired it.")
        assert "```bash" in step["observation"] and step["info"] == {"bad_format": True}
        assert (await one.say("Really."))["truncated"]
        result = await one.verify()
    assert (result["reward"], result["outcome"], result["num_format_errors"]) == (0.0, "unchanged", 2)


@needs_sandbox
async def test_files_beyond_all_measure_earn_nothing() -> None:
    async with session(max_turns=1) as one:
        await one.say(block("", "for i in $(seq 60); do head -c 30000 /dev/zero | tr '\\0' x > $i.txt; done"))
        result = await one.verify()
    assert (result["reward"], result["outcome"]) == (0.0, "unreadable")


@needs_sandbox
async def test_thirty_sessions_at_a_time_mix_nothing_up() -> None:
    async with serving() as gym:

        async def episode(number: int) -> str:
            one = Session(gym, ROWS[number % len(ROWS)])
            await one.post("/reset")
            await one.run(f"echo {number} > mine.txt")
            told = await one.run("cat mine.txt; ls | head -20")
            await one.post("/close")
            return told

        told = await asyncio.gather(*(episode(number) for number in range(30)))
    for number, text in enumerate(told):
        assert f"<output>\n{number}\n" in text
        assert ROWS[number % len(ROWS)]["instance_id"].partition("--")[0] in text


@pytest.mark.skipif(not problem("docker"), reason="a Docker engine answers here")
async def test_without_its_sandbox_an_episode_is_a_failure_and_never_a_reward() -> None:
    model = {"type": "responses_api_models", "name": "policy_model"}
    async with InProcessGym() as gym:
        server = gym.add("mini_swe", FOLDER, sandbox="docker")
        with pytest.raises(SandboxError, match=r"`mini_swe\.resources_servers\.mini_swe\.sandbox`: .*`docker`"):
            await server.startup()
        example = str(FOLDER / "data" / "example.jsonl")
        scripted = ROOT / "responses_api_models" / "scripted_model"
        gym.add("policy_model", scripted, policy=f"{FOLDER / 'policies.py'}:oracle", rows_fpaths=[example])
        reference = {"type": "resources_servers", "name": "mini_swe"}
        simple_agent = ROOT / "responses_api_agents" / "simple_agent"
        gym.add("agent", simple_agent, resources_server=reference, model_server=model)
        result = (await gym.client.post("agent", "/run", ROW)).parse()
    assert "reward" not in result
    assert result["_ng_failure_class"] == "resources_error"
    assert "docker" in result["_ng_failure"]["message"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"files": {}}, "`files` and `hidden_tests`"),
        ({"files": {"../x.py": ""}}, "no plain relative path"),
        ({"files": {"/x.py": ""}}, "no plain relative path"),
        ({"files": {"json.py": ""}}, "hide modules of Python"),
        ({"FAIL_TO_PASS": []}, "FAIL_TO_PASS"),
        ({"FAIL_TO_PASS": ["test_shelf.test_x"]}, "test_x.Case.test_name"),
        ({"PASS_TO_PASS": ["test_other.Case.test_x"]}, "no test of `hidden_tests`"),
        ({"image": "x"}, "needs `test_patch`"),
        ({"max_turns": 0}, "max_turns"),
    ],
)
async def test_a_row_that_does_not_fit_is_refused_with_the_reason(change: dict[str, Any], told: str) -> None:
    async with serving() as gym:
        answer = await Session(gym, {**ROW, **change}).post("/reset")
    assert answer.status == 422 and told in answer.text
