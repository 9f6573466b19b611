"""The environment checker finds what is wrong: each test breaks a sound environment in one way."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from nemo_gym.env_checker import check_environment, examine_environment

Edit = Callable[[Path], None]

APP = '''"""{name}: says hello."""
import random
from fastapi import Request
from pydantic import BaseModel
from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig, BaseSeedSessionRequest, BaseSeedSessionResponse, BaseVerifyRequest, BaseVerifyResponse,
    SimpleResourcesServer,
)

LAST = {{}}
BARE = {{"responses_create_params", "response"}}


class Greet(BaseModel):
    whom: str


class Config(BaseResourcesServerConfig):
    reward: float = 1.0


class Greeter(SimpleResourcesServer):
    config: Config

    def setup_webserver(self):
        app = super().setup_webserver()
        app.post("/greet")(self.greet)
        return app

    async def seed_session(self, request: Request, body: BaseSeedSessionRequest) -> BaseSeedSessionResponse:
        request.session["greeted"] = []
        return BaseSeedSessionResponse()

    async def greet(self, request: Request, body: Greet) -> dict:
        request.session["greeted"].append(body.whom)
        return {{"said": "Hello " + body.whom}}

    async def verify(self, request: Request, body: BaseVerifyRequest) -> BaseVerifyResponse:
        right = request.session.get("greeted") == [body.model_extra["whom"]] if "whom" in body.model_extra else False
        return BaseVerifyResponse(**body.model_dump(), reward=self.config.reward * right)


if __name__ == "__main__":
    Greeter.run_webserver()
'''
NAMES = """
from nemo_gym.config_types import BaseServerConfig
from nemo_gym.serving.app import SimpleServer


class Config(BaseServerConfig):
    greeting: str


class Names(SimpleServer):
    config: Config

    def setup_webserver(self):
        app = super().setup_webserver()
        app.post("/known")(self.known)
        return app

    async def known(self, body: dict) -> dict:
        return {"name": f"{self.config.greeting}, {body['name']}"}


if __name__ == "__main__":
    Names.run_webserver()
"""
POLICIES = '''"""Reference policies."""
from nemo_gym.reference_policies import function_call

def oracle(turn):
    return [function_call("greet", {"whom": turn.row["whom"]})] if turn.step == 0 else "Done."

def guess(turn):
    return [function_call("greet", {"whom": turn.rng.choice("abc")})] if turn.step == 0 else "Done."

def malformed(turn):
    return turn.rng.choice(["", [function_call("greet", "{")], [function_call("greet", {"whom": 7})]])

POLICIES = {"oracle": oracle, "random": guess, "malformed": malformed}
'''
PREPARE = '''"""Writes greetings."""
from pathlib import Path
from nemo_gym.prepare import run_prepare

WHOM = {"type": "object", "properties": {"whom": {"type": "string"}}}
TOOL = {"type": "function", "name": "greet", "parameters": WHOM}

def make_row(rng, index):
    return {"responses_create_params": {"input": f"Greet {'abcde'[index]}.", "tools": [TOOL]}, "whom": "abcde"[index]}

if __name__ == "__main__":
    print(run_prepare(make_row, Path(__file__).parent / "data" / "example.jsonl"))
'''


@pytest.fixture
def environment(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A sound environment, in a folder whose name no other test uses."""
    name = f"greeter_{zlib.crc32(request.node.nodeid.encode())}"
    folder = tmp_path / "resources_servers" / name
    for part in ("configs", "data", "tests"):
        (folder / part).mkdir(parents=True)
    (folder / "app.py").write_text(APP.format(name=name))
    (folder / "policies.py").write_text(POLICIES)
    (folder / "prepare.py").write_text(PREPARE)
    (folder / "verifier.py").write_text('"""Nothing to compute."""\n')
    (folder / "README.md").write_text("# greeter\n")
    (folder / "tests" / "test_app.py").write_text("")
    (folder / "configs" / f"{name}.yaml").write_text(
        f"{name}:\n  resources_servers:\n    {name}:\n      entrypoint: app.py\n"
    )
    subprocess.run([sys.executable, folder / "prepare.py"], check=True, capture_output=True)
    row = json.loads((folder / "data" / "example.jsonl").read_text().splitlines()[0])
    response = {"id": "resp_0", "object": "response", "created_at": 0, "model": "none", "output": []}
    (folder / "data" / "example_verify.json").write_text(json.dumps({**row, "response": response}))
    return folder


def replace(file: str, old: str, new: str) -> Edit:
    def edit(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))

    return edit


def test_another_server_of_the_folder_answers_the_environment_under_check(environment: Path) -> None:
    name = environment.name
    (environment / "names.py").write_text(NAMES)
    replace("app.py", "    reward: float = 1.0", "    reward: float = 1.0\n    names: dict[str, str]")(environment)
    asked = 'await self.server_client.post(self.config.names["name"], "/known", {"name": body.whom})'
    answered = '{"said": "Hello " + (await (' + asked + ').json())["name"]}'
    replace("app.py", '{"said": "Hello " + body.whom}', answered)(environment)
    (environment / "configs" / f"{name}.yaml").write_text(
        f"{name}_names:\n  resources_servers:\n    {name}:\n      entrypoint: names.py\n      greeting: Hi\n"
        f"{name}:\n  resources_servers:\n    {name}:\n      entrypoint: app.py\n"
        f"      names: {{type: resources_servers, name: {name}_names}}\n"
    )
    assert check_environment(environment) == []
    replace("names.py", "/known", "/unknown")(environment)
    assert any("/greet answers 500" in problem for problem in check_environment(environment))


def test_a_sound_environment_has_no_problems(environment: Path) -> None:
    report = examine_environment(environment)
    assert report.problems == []
    assert report.mean_rewards["oracle"] == 1.0
    assert 0.0 < report.mean_rewards["random"] < 1.0
    assert report.mean_rewards["malformed"] == 0.0


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        pytest.param(lambda folder: (folder / "README.md").unlink(), "warning: README.md is missing", id="no readme"),
        pytest.param(lambda folder: (folder / "app.py").unlink(), "app.py is missing", id="no app"),
        pytest.param(
            lambda folder: (folder / "app.py").write_text((folder / "app.py").read_text() + "\n" * 150),
            "warning: app.py has",
            id="long app",
        ),
        pytest.param(
            replace("app.py", "import random", "import no_such_module"), "app.py: cannot be imported", id="import error"
        ),
        pytest.param(
            replace("data/example.jsonl", '"input": "Greet c."', '"input": [{"text": "c"}]'),
            "data/example.jsonl:3: responses_create_params.input[0].type",
            id="item without type",
        ),
        pytest.param(
            replace("data/example.jsonl", "Greet c.", "Greet  c."), "prepare.py writes other rows", id="other rows"
        ),
        pytest.param(replace("prepare.py", "import run_prepare", "import gone"), "prepare.py --output", id="prepare"),
        pytest.param(
            replace("app.py", "self.config.reward * right", "float('nan')"), "should be a finite number", id="nan"
        ),
        pytest.param(
            replace("app.py", "**body.model_dump(), reward", "**body.model_dump(include=BARE), reward"),
            "/verify does not echo",
            id="echo",
        ),
        pytest.param(
            replace("app.py", "self.config.reward * right", "5.0 * right"), "outside 0 to 1", id="beyond the range"
        ),
        pytest.param(
            replace("policies.py", 'turn.row["whom"]', '"nobody"'), "must get the full reward", id="bad oracle"
        ),
        pytest.param(
            replace("policies.py", "turn.rng.choice([", "turn.no_such_thing(["),
            "the policy itself raises",
            id="policy raises",
        ),
        pytest.param(replace("policies.py", '"random": guess, ', ""), "no policy `random`", id="no random"),
        pytest.param(
            replace("app.py", "body: Greet) -> dict:", "body: dict) -> dict:\n        body = Greet(**body)"),
            "POST /greet answers 500",
            id="tool raises",
        ),
        pytest.param(replace("app.py", '"/greet"', '"/great"'), "no `POST /greet`", id="no such route"),
        pytest.param(
            replace("app.py", "self.config.reward * right", "random.random() * right"),
            "the oracle must get the full reward",
            id="random reward",
        ),
        pytest.param(
            replace("app.py", '"Hello " + body.whom', '"Hello " + str(random.random())'),
            "ends differently the second time",
            id="random tool",
        ),
        pytest.param(
            replace("app.py", 'request.session["greeted"]', 'LAST["greeted"]'),
            "ends differently when other sessions are open",
            id="shared state",
        ),
    ],
)
def test_a_broken_environment_is_told_what_is_wrong(environment: Path, edit: Edit, problem: str) -> None:
    if problem.startswith("ends differently when"):
        replace("app.py", 'request.session.get("greeted")', 'LAST.get("greeted")')(environment)
    edit(environment)
    problems = check_environment(environment)
    assert any(problem in found for found in problems), problems
    assert all(len(found) < 700 and "\n" not in found for found in problems)


def test_settings_come_from_the_environments_own_yaml(environment: Path) -> None:
    replace(f"configs/{environment.name}.yaml", "entrypoint: app.py", "reward: 0.5")(environment)
    assert any("the reward is 0.5" in problem for problem in check_environment(environment))
    replace(f"configs/{environment.name}.yaml", "reward: 0.5", "rewrad: 0.5")(environment)
    assert any("rewrad" in problem for problem in check_environment(environment))


def test_the_command_prints_means_and_problems_and_exits_1_only_for_problems(environment: Path) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nemo_gym.env_checker", str(environment)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    (environment / "README.md").unlink()
    sound = run()
    assert sound.returncode == 0, sound.stderr
    assert "oracle 1.000" in sound.stdout and "warning: README.md is missing" in sound.stdout
    (environment / "data" / "example.jsonl").unlink()
    broken = run()
    assert broken.returncode == 1
    assert "data/example.jsonl is missing" in broken.stdout
