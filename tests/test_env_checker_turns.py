"""The environment checker finds what is wrong with turns: each test breaks a sound environment in one way."""

from __future__ import annotations

import asyncio
import zlib
from pathlib import Path

import pytest

from nemo_gym.env_checker.episodes import EpisodeChecks
from nemo_gym.env_checker.layout import CheckedSettings
from nemo_gym.env_checker.server import CheckedServer
from nemo_gym.env_checker.turns import check_turns
from nemo_gym.reference_policies import PolicyTurn

APP = '''"""echo: say `stop`."""
from nemo_gym.base_resources_server import BaseRunRequest, ReverifyMode
from nemo_gym.environments import Environment, EnvironmentServer, StepResult

SEEN = []


class Echo(Environment):
    def __init__(self, max_turns):
        self.left = max_turns

    async def step(self, response):
        self.left -= 1
        SEEN.append(response.output_text)
        done = response.output_text == "stop"
        return StepResult("Say stop.", float(done), terminated=done, truncated=self.left == 0)


class EchoServer(EnvironmentServer):
    reverify_mode = ReverifyMode.STATELESS

    async def make_environment(self, row: BaseRunRequest) -> Echo:
        return Echo(self.max_turns(row, 3))
'''
ROW = {"responses_create_params": {"input": "Say stop."}}


def checked(tmp_path: Path, name: str, old: str = "", new: str = "") -> list[str]:
    """What the checks of turns and of whole episodes say of the environment with `new` in place of `old`."""
    assert old in APP
    folder = tmp_path / "resources_servers" / name
    folder.mkdir(parents=True)
    (folder / "app.py").write_text(APP.replace(old, new))

    def stop(turn: PolicyTurn) -> str:
        return "stop" if turn.step else "go"

    async def check() -> list[str]:
        server = CheckedServer(folder, CheckedSettings())
        async with server.gym:
            problems = await check_turns(server, [ROW])
            policies = {"oracle": stop, "random": stop, "malformed": stop}
            return problems + await EpisodeChecks(server, policies, [ROW]).run()

    return asyncio.run(check())


def test_a_sound_environment_has_no_problems(tmp_path: Path) -> None:
    assert checked(tmp_path, "sound") == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("truncated=self.left == 0", "truncated=False", "200 turns without an answer do not end the episode"),
        ("self.left -= 1", "self.left -= len(response.output[0].content)", "/step with an empty answer of the model"),
        ("float(done)", "float(done) * (len(SEEN) < 8)", "ends differently the second time"),
        ('"Say stop."', "str(len(SEEN))", "ends differently the second time"),
        ("float(done)", "float(done) * (len(SEEN) % 5 != 4)", "scored again from what is stored"),
        ('StepResult("Say stop.",', "StepResult(7,", "answers 500"),
    ],
)
def test_each_mistake_is_named(old: str, new: str, problem: str, tmp_path: Path) -> None:
    name = f"broken_{zlib.crc32((old + new).encode())}"
    problems = checked(tmp_path, name, old, new)
    assert any(problem in line for line in problems), problems


def test_steps_after_the_end_and_before_the_reset_must_be_refused(tmp_path: Path) -> None:
    lax = """
    async def step(self, request, body):
        return {"observation": None, "reward": 0.0, "terminated": True, "truncated": False, "info": {}}
"""
    typed = lax.replace("request, body", "request: Request, body: BaseStepRequest")
    source = APP + typed
    imports = "from starlette.requests import Request\nfrom nemo_gym.schemas.episode import BaseStepRequest\n"
    folder = tmp_path / "resources_servers" / "lax"
    folder.mkdir(parents=True)
    (folder / "app.py").write_text(source.replace("SEEN = []", imports + "SEEN = []"))

    async def check() -> list[str]:
        server = CheckedServer(folder, CheckedSettings())
        async with server.gym:
            return await check_turns(server, [ROW])

    assert asyncio.run(check()) == [
        "/step without /reset before it must be refused with 4xx",
        "/step after the end of an episode must be refused with 4xx",
    ]
