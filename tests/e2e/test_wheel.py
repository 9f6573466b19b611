"""The built wheel in an environment of its own, used in an empty folder: no checkout anywhere near."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.documents import ROOT, bash_blocks, environment, only, running, shell

pytestmark = pytest.mark.e2e

QUICKSTART = ROOT / "docs" / "quickstart.md"
PACKAGES = ("nemo_gym", "resources_servers", "responses_api_models", "responses_api_agents")


def run(*command: str, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def built_wheel(source: Path, folder: Path) -> Path:
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source))
    return only_file(folder, "*.whl")


def only_file(folder: Path, pattern: str) -> Path:
    [path] = folder.glob(pattern)
    return path


def names_in(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def files_below(*names: str) -> set[str]:
    """The checkout's files in these folders, as paths in the checkout."""
    paths = [path for name in names for path in (ROOT / name).rglob("*")]
    kept = [path for path in paths if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(ROOT).as_posix() for path in kept if ".hypothesis" not in path.parts}


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` has filled: once a run of pytest, whose workers wait for each other."""
    run_folder = factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else factory.getbasetemp()
    folder = run_folder / name
    with (run_folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            (folder / "made").touch()
    return folder


def make_environment(folder: Path) -> None:
    """The wheel, what it needs, and pytest for `ng_test`."""
    python = folder / "env/bin/python"
    run(sys.executable, "-m", "venv", "--without-pip", str(folder / "env"))
    pip = (sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile")
    run(*pip, str(built_wheel(ROOT, folder)), "pytest", "pytest-asyncio", "hypothesis")


def make_sdist(folder: Path) -> None:
    """From the checkout, with the build backend that `pyproject.toml` names."""
    backend = folder / "backend"
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    run(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(backend), *requirements)
    build = f"import hatchling.build; hatchling.build.build_sdist({str(folder)!r})"
    run(sys.executable, "-c", f"import sys; sys.path.insert(0, {str(backend)!r}); {build}", cwd=ROOT)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel."""
    return made_once(tmp_path_factory, "installed", make_environment) / "env/bin"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the checkout."""
    return only_file(made_once(tmp_path_factory, "installed", make_environment), "*.whl")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return only_file(made_once(tmp_path_factory, "sdist", make_sdist), "*.tar.gz")


@pytest.fixture
def on_path(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("tests.e2e.documents.environment", lambda: {**environment(), **variables})
    variables = {"PATH": f"{installed}{os.pathsep}{os.environ['PATH']}"}
    yield


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    names = {name for name in names_in(wheel) if ".dist-info/" not in name}
    assert names == files_below(*PACKAGES)
    assert "nemo_gym/py.typed" in names
    assert "nemo_gym/scaffold/resources_server/app.py.template" in names


def test_the_sdist_holds_tests_documents_and_data(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    expected = files_below(*PACKAGES, "tests", "docs", "data")
    assert expected | {"README.md", "CHANGELOG.md", "LICENSE", "Makefile", "pyproject.toml", ".ci/run"} <= names


def test_a_wheel_built_from_the_sdist_is_that_of_the_checkout(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    assert names_in(built_wheel(sdist, tmp_path)) == names_in(wheel)


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


@pytest.mark.usefixtures("on_path")
def test_a_new_environment_passes_its_tests(tmp_path: Path) -> None:
    shell("ng_init_resources_server +entrypoint=resources_servers/maze", tmp_path)
    assert "checker passed, tests passed" in shell("ng_test +entrypoint=resources_servers/maze", tmp_path)


@pytest.mark.usefixtures("on_path")
def test_our_servers_pass_their_tests_where_they_are_installed(tmp_path: Path) -> None:
    command = "ng_test +entrypoint=resources_servers/example_multi_step"
    assert "checker passed, tests passed" in shell(command, tmp_path)


@pytest.mark.usefixtures("on_path")
def test_a_type_checker_finds_the_types(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from nemo_gym.base_resources_server import BaseVerifyResponse\nreveal_type(BaseVerifyResponse.reward)\n"
    )
    mypy = [sys.executable, "-m", "mypy", "--python-executable", str(installed / "python"), "--cache-dir", "cache"]
    done = subprocess.run([*mypy, "mine.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 'Revealed type is "float"' in done.stdout.replace("builtins.", ""), done.stdout
