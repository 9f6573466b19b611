"""Environments of servers whose requirements differ from ours. Offline: wheels are made here, with zipfile."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nemo_gym.config.instance import GymConfig
from nemo_gym.errors import LaunchError
from nemo_gym.launch.environments import python_for
from nemo_gym.launch.gym import running_gym
from nemo_gym.launch.requirements import RequirementsFile
from nemo_gym.serving.spec import ServerSpec
from tests.launch.toys import GOOD


def make_wheel(folder: Path, version: str) -> None:
    """A wheel of a package `tiny_dependency`, which knows its version and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"tiny_dependency-{version}.dist-info"
    files = {
        "tiny_dependency.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny-dependency\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"tiny_dependency-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(name, text)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def spec_of(folder: Path, requirements: str | None) -> ServerSpec:
    folder.mkdir(exist_ok=True)
    if requirements is not None:
        (folder / "requirements.txt").write_text(requirements)
    return ServerSpec(
        name="one",
        server_type="resources_servers",
        implementation="one",
        folder=str(folder),
        entrypoint="app.py",
        settings={},
        source="one.yaml",
        directory={},
        run_id="a-test",
        session_secret="",
    )


def says(python: str, code: str) -> str:
    return subprocess.run([python, "-P", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    "requirements",
    [
        None,
        "",
        "# nothing\n\n",
        "pydantic>=2\nfastapi  # any version\n",
        "-e nemo-gym[dev] @ ../../\n",
        "nemo-gym\nnemo_gym[dev]>=0.1\n",
        'tiny-dependency; python_version < "3"\n',
        "uvicorn[standard]>=0.30\n",
    ],
)
async def test_our_own_interpreter_runs_a_server_that_needs_no_more(requirements: str | None, tmp_path: Path) -> None:
    assert await python_for(spec_of(tmp_path / "one", requirements), print) == sys.executable


async def test_a_line_that_installs_the_checkout_itself_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "nemo-gym"\n')
    folder = tmp_path / "resources_servers" / "one"
    folder.mkdir(parents=True)
    assert await python_for(spec_of(folder, "-e ../..\n"), print) == sys.executable


@pytest.mark.parametrize("line", ["tiny-dependency", "pydantic<1", "./local_package", "uvicorn @ https://x.test/u.whl"])
def test_what_we_lack_or_cannot_judge_is_unmet(line: str, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(f"fastapi\n{line}\n")
    assert RequirementsFile.read(tmp_path / "requirements.txt").unmet() == [line]


def test_included_files_count(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("tiny-dependency\n-r requirements.txt\n")
    (tmp_path / "requirements.txt").write_text("fastapi\n-r more.txt\n")
    assert RequirementsFile.read(tmp_path / "requirements.txt").lines == ("fastapi", "tiny-dependency")


async def test_an_environment_has_what_is_asked_for_and_all_of_ours(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "1.0")
    spec = spec_of(tmp_path / "one", "--no-index\n--find-links ../wheels\nnemo-gym\ntiny-dependency==1.0\n")
    told: list[str] = []
    python = await python_for(spec, told.append)
    assert python != sys.executable
    assert says(python, "import tiny_dependency, fastapi, nemo_gym.errors; print(tiny_dependency.VERSION)") == "1.0"
    assert len(told) == 1 and "tiny-dependency==1.0" in told[0]


async def test_it_is_made_once_and_anew_when_the_file_changes(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "1.0")
    make_wheel(tmp_path / "wheels", "2.0")
    text = "--no-index\n--find-links ../wheels\ntiny-dependency=={}\n"
    told: list[str] = []
    first = await python_for(spec_of(tmp_path / "one", text.format("1.0")), told.append)
    again = await python_for(spec_of(tmp_path / "one", text.format("1.0")), told.append)
    assert again == first and len(told) == 1
    changed = await python_for(spec_of(tmp_path / "one", text.format("2.0")), told.append)
    assert changed != first and len(told) == 2
    assert says(changed, "import tiny_dependency; print(tiny_dependency.VERSION)") == "2.0"


async def test_two_servers_that_need_the_same_make_it_once(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "1.0")
    spec = spec_of(tmp_path / "one", f"--no-index\n--find-links {tmp_path}/wheels\ntiny-dependency\n")
    told: list[str] = []
    pythons = await asyncio.gather(python_for(spec, told.append), python_for(spec, told.append))
    assert len(set(pythons)) == 1 and len(told) == 1


async def test_a_failed_install_says_what_pip_said_and_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    spec = spec_of(tmp_path / "one", "--no-index\n--find-links ../wheels\ntiny-dependency\n")
    with pytest.raises(LaunchError) as caught:
        await python_for(spec, print)
    assert "one/requirements.txt: cannot be installed" in str(caught.value)
    assert "No matching distribution found for tiny-dependency" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 10
    make_wheel(tmp_path / "wheels", "1.0")
    assert await python_for(spec, print) != sys.executable


async def test_making_it_can_be_interrupted_and_leaves_nothing_half_made(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "1.0")
    spec = spec_of(tmp_path / "one", "--no-index\n--find-links ../wheels\ntiny-dependency\n")
    told = asyncio.Event()
    making = asyncio.create_task(python_for(spec, lambda _: told.set()))
    await told.wait()
    await asyncio.sleep(0.2)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    python = await python_for(spec, print)
    assert says(python, "import tiny_dependency; print(tiny_dependency.VERSION)") == "1.0"
    assert os.access(python, os.X_OK)


async def test_a_server_runs_in_the_environment_it_asks_for(
    toy_config: Callable[..., GymConfig], tmp_path: Path
) -> None:
    make_wheel(tmp_path / "wheels", "1.0")
    code = 'import fastapi, tiny_dependency\nprint(tiny_dependency.VERSION)\nreport(event="ready")\nanswer("hello")'
    config = toy_config({"one": code, "two": GOOD})
    requirements = config.instances["one"].folder / "requirements.txt"
    requirements.write_text(f"--no-index\n--find-links {tmp_path}/wheels\ntiny-dependency\n")
    async with running_gym(config, cwd=tmp_path) as gym:
        assert {status.state for status in gym.statuses()} == {"ready"}
        log = tmp_path / ".nemo_gym" / "runs" / gym.run_id / "one.log"
        assert log.read_text() == "1.0\n"
