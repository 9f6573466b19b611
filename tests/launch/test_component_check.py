"""`ng_test`: failures are told from passes, in the server's own environment, and nothing stays behind."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nemo_gym.config.component import Component
from nemo_gym.config.places import INSTALL_ROOT
from nemo_gym.launch.guardian import processes_of
from nemo_gym.scaffold.resources_server_folder import new_resources_server

COMMAND = (sys.executable, "-c", "from nemo_gym.entry import ng_test; ng_test()")


def ng_test(*arguments: str, cwd: Path) -> tuple[int, str, str]:
    """(exit code, last line of stdout, everything)."""
    done = subprocess.run([*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout.splitlines() or [""])[-1], done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one generated environment, `resources_servers/maze`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    new_resources_server(Path("resources_servers/maze"))
    return tmp_path


def test_a_test_that_fails_fails_the_command(project: Path) -> None:
    (project / "resources_servers/maze/tests/test_more.py").write_text("def test_more():\n    assert 1 == 2\n")
    code, last, said = ng_test("+entrypoint=resources_servers/maze", cwd=project)
    assert (code, last) == (1, "resources_servers/maze: checker passed, tests failed")
    assert "assert 1 == 2" in said
    code, last, _ = ng_test("+entrypoint=resources_servers/maze", "+pytest_args='-k not_more'", cwd=project)
    assert (code, last) == (0, "resources_servers/maze: checker passed, tests none")


def test_fixtures_that_servers_share_are_found(project: Path) -> None:
    (project / "resources_servers/conftest.py").write_text(
        "import pytest\n\n\n@pytest.fixture\ndef answer():\n    return 42\n"
    )
    (project / "resources_servers/maze/tests/test_more.py").write_text(
        "def test_more(answer):\n    assert answer == 42\n"
    )
    code, last, said = ng_test("+entrypoint=resources_servers/maze", "+pytest_args='-k more'", cwd=project)
    assert (code, last) == (0, "resources_servers/maze: checker passed, tests passed"), said


def test_what_the_checker_finds_fails_the_command(project: Path) -> None:
    (project / "resources_servers/maze/data/example.jsonl").unlink()
    code, last, said = ng_test("+entrypoint=resources_servers/maze", cwd=project)
    assert code == 1 and "checker failed" in last
    assert "data/example.jsonl is missing" in said


def test_a_server_in_a_nested_folder_is_tested_as_any_other(project: Path) -> None:
    nested = project / "resources_servers/group/maze"
    shutil.copytree(project / "resources_servers/maze", nested)
    for path in [path for path in nested.rglob("*") if path.is_file() and path.suffix != ".pyc"]:
        text = path.read_text().replace("resources_servers.maze", "resources_servers.group.maze")
        path.write_text(text.replace("    maze:\n      entrypoint", "    group/maze:\n      entrypoint"))
    shutil.rmtree(project / "resources_servers/maze")
    code, last, said = ng_test("+entrypoint=resources_servers/group/maze", cwd=project)
    assert (code, last) == (0, "resources_servers/group/maze: checker passed, tests passed"), said


def test_tests_run_with_what_the_servers_requirements_ask_for(project: Path) -> None:
    package = project / "maze_extras"
    package.mkdir()
    (package / "pyproject.toml").write_text('[project]\nname = "maze-extras"\nversion = "1"\n')
    (package / "maze_extras.py").write_text("NUMBER = 7\n")
    folder = project / "resources_servers/maze"
    (folder / "requirements.txt").write_text(f"{package}\n")
    (folder / "tests/test_extras.py").write_text(
        "import maze_extras\n\n\ndef test_extras():\n    assert maze_extras.NUMBER == 7\n"
    )
    code, last, said = ng_test("+entrypoint=resources_servers/maze", cwd=project)
    assert (code, last) == (0, "resources_servers/maze: checker passed, tests passed"), said
    assert "making an environment" in said


def test_all_tests_every_server_of_the_folder_and_no_other(project: Path) -> None:
    agent = project / "responses_api_agents/walker"
    (agent / "tests").mkdir(parents=True)
    (agent / "app.py").write_text("NAME = 'walker'\n")
    (agent / "tests/test_walker.py").write_text("import app\n\n\ndef test_name():\n    assert app.NAME == 'walker'\n")
    code, _, said = ng_test("+all=true", cwd=project)
    assert code == 0, said
    assert said.splitlines()[-2:] == [
        "resources_servers/maze: checker passed, tests passed",
        "responses_api_agents/walker: tests passed",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["+entrypoint=resources_servers/mase"], "did you mean `resources_servers/maze`?"),
        ([], "say what to test: +entrypoint=resources_servers/<name>, or +all=true"),
    ],
)
def test_a_wrong_command_line_says_what_to_write(project: Path, arguments: list[str], message: str) -> None:
    code, _, said = ng_test(*arguments, cwd=project)
    assert code == 2 and message in said and len(said.splitlines()) == 1


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_and_kill_leave_nothing_of_the_tests_behind(project: Path, ending: signal.Signals) -> None:
    """The test starts a process that would sleep for ever, in a session of its own."""
    (project / "resources_servers/maze/tests/test_slow.py").write_text(
        "import os, pathlib, subprocess, time\n\n\n"
        "def test_slow():\n"
        "    subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
        "    pathlib.Path('started').write_text(os.environ['NEMO_GYM_RUN_ID'])\n"
        "    time.sleep(1000)\n"
    )
    process = subprocess.Popen(
        [*COMMAND, "+entrypoint=resources_servers/maze", "+pytest_args='-k slow'"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started = project / "resources_servers/maze/started"
    wait_for(lambda: started.exists() and started.read_text() != "", process)
    process.send_signal(ending)
    _, err = process.communicate(timeout=30)
    assert process.returncode == (130 if ending == signal.SIGINT else -signal.SIGKILL)
    assert "Traceback" not in err
    wait_for(lambda: processes_of(started.read_text()) == [], None)


def wait_for(done: object, process: subprocess.Popen[str] | None) -> None:
    assert callable(done)
    give_up_at = time.monotonic() + 60
    while not done():
        assert time.monotonic() < give_up_at, "still not"
        assert process is None or process.poll() is None, process.communicate() if process else ""
        time.sleep(0.05)


def test_a_component_knows_its_names_wherever_it_lies(tmp_path: Path) -> None:
    nested = Component.at(tmp_path / "resources_servers" / "group" / "maze")
    assert nested is not None
    assert (nested.root, nested.server_type, nested.implementation) == (tmp_path, "resources_servers", "group/maze")
    assert nested.package == "resources_servers.group.maze"
    assert Component.at(tmp_path / "maze") is None
    calendar = Component.at(INSTALL_ROOT / "resources_servers" / "calendar")
    assert calendar is not None and calendar.path == "resources_servers/calendar" and calendar.folder.is_dir()
