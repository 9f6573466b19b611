"""The built wheel in an environment of its own, used in an empty folder: no checkout anywhere near."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.documents import ROOT, bash_blocks, environment, only, running, shell

pytestmark = pytest.mark.e2e

QUICKSTART = ROOT / "docs" / "quickstart.md"


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    [wheel] = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", str(folder / "env"))
    run(str(folder / "env/bin/python"), "-m", "pip", "install", "--quiet", str(wheel))
    return folder / "env/bin"


@pytest.fixture
def on_path(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("tests.e2e.documents.environment", lambda: {**environment(), **variables})
    variables = {"PATH": f"{installed}{os.pathsep}{os.environ['PATH']}"}
    yield


@pytest.mark.usefixtures("on_path")
def test_the_quickstart_runs_in_an_empty_folder(tmp_path: Path) -> None:
    assert str(ROOT) not in shell("python -c 'import nemo_gym, sys; print(nemo_gym.__file__, sys.path)'", tmp_path)
    blocks = [line for block in bash_blocks(QUICKSTART) for line in block.replace("\\\n", " ").splitlines()]
    start = next(line for line in blocks if line.startswith("ng_run"))
    collect = only([line for line in blocks if line.startswith("ng_collect_rollouts")], "ng_collect_rollouts")
    with running(start, tmp_path):
        shell(collect, tmp_path)
    results = (tmp_path / "results" / "calendar.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(results) == 20 and all("reward" in json.loads(line) for line in results)


@pytest.mark.usefixtures("on_path")
def test_a_server_of_the_users_own_runs_beside_ours(tmp_path: Path) -> None:
    folder = tmp_path / "resources_servers" / "parrot"
    folder.mkdir(parents=True)
    (folder / "words.py").write_text("GREETING = 'hello'\n")
    (folder / "app.py").write_text(
        "from nemo_gym.base_resources_server import BaseVerifyRequest, BaseVerifyResponse, SimpleResourcesServer\n"
        "from resources_servers.parrot.words import GREETING\n"
        "class Parrot(SimpleResourcesServer):\n"
        "    async def verify(self, body: BaseVerifyRequest) -> BaseVerifyResponse:\n"
        "        return BaseVerifyResponse(**body.model_dump(), reward=float(GREETING in body.response.output_text))\n"
        "if __name__ == '__main__':\n"
        "    Parrot.run_webserver()\n"
    )
    (folder / "policies.py").write_text("POLICIES = {'oracle': lambda turn: 'hello'}\n")
    row = {"responses_create_params": {"input": "greet me"}}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "parrot.yaml").write_text(
        "parrot:\n  resources_servers:\n    parrot: {entrypoint: app.py}\n"
        "parrot_agent:\n  responses_api_agents:\n    simple_agent:\n      entrypoint: app.py\n"
        "      resources_server: {type: resources_servers, name: parrot}\n"
        "      model_server: {type: responses_api_models, name: policy_model}\n"
        "policy_model:\n  responses_api_models:\n    scripted_model: {entrypoint: app.py, policy: oracle}\n"
    )
    with running("ng_run +config_paths=[parrot.yaml]", tmp_path):
        shell(
            "ng_collect_rollouts +agent_name=parrot_agent +input_jsonl_fpath=rows.jsonl +output_jsonl_fpath=out.jsonl",
            tmp_path,
        )
    assert json.loads((tmp_path / "out.jsonl").read_text())["reward"] == 1.0
