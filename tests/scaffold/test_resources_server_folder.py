"""A generated environment works as it is: checker, its tests, its README's figures, its style."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nemo_gym.cli.init_resources_server import init_resources_server
from nemo_gym.config.places import INSTALL_ROOT
from nemo_gym.env_checker import examine_environment
from nemo_gym.errors import ConfigError
from nemo_gym.scaffold.resources_server_folder import new_resources_server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A generated environment in an otherwise empty working directory."""
    monkeypatch.chdir(tmp_path)
    path = Path("resources_servers/two_words")
    new_resources_server(path)
    return path


def test_the_checker_has_nothing_to_say_and_the_readme_states_the_rewards(folder: Path) -> None:
    report = examine_environment(folder)
    assert report.problems == []
    assert report.mean_rewards["oracle"] > report.mean_rewards["random"] > report.mean_rewards["malformed"]
    readme = (folder / "README.md").read_text()
    for policy, mean in report.mean_rewards.items():
        assert f"| `{policy}` | {mean:.3f} |" in readme


def test_its_own_tests_pass_in_a_folder_without_any_settings(folder: Path) -> None:
    code = "from nemo_gym.entry import ng_test; ng_test()"
    command = [sys.executable, "-c", code, f"+entrypoint={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "resources_servers/two_words: checker passed, tests passed"
    assert "warning" not in done.stdout.lower() + done.stderr.lower()


def test_nothing_of_the_template_is_left_and_the_style_is_the_houses(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert "{{" not in path.read_text() + path.name and path.suffix != ".template"
    assert "class TwoWordsResourcesServer" in (folder / "app.py").read_text()
    settings = ["--config", str(INSTALL_ROOT / "pyproject.toml")]
    for check in (["check", "--ignore", "I001"], ["format", "--check"]):  # imports are sorted as in our own tree
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *check, *settings, str(folder)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_there_is_never_written_over(folder: Path) -> None:
    mine = (folder / "app.py").read_bytes() + b"# mine\n"
    (folder / "app.py").write_bytes(mine)
    with pytest.raises(ConfigError, match="is there already, and nothing is written over"):
        new_resources_server(folder)
    assert (folder / "app.py").read_bytes() == mine


@pytest.mark.parametrize(
    ("entrypoint", "message"),
    [
        ("my_env", "must be a folder of resources_servers"),
        ("responses_api_agents/my_agent", "must be a folder of resources_servers"),
        ("resources_servers/group/my_env", "must be a folder of resources_servers"),
        ("resources_servers/My-Env", "`My-Env` cannot be imported"),
        ("resources_servers/class", "`class` cannot be imported"),
    ],
)
def test_a_place_or_name_that_cannot_work_is_refused(
    entrypoint: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        new_resources_server(Path(entrypoint))
    assert list(tmp_path.iterdir()) == []


def test_the_command_lists_the_files_and_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert init_resources_server(["+entrypoint=resources_servers/my_env"]) == 0
    said = capsys.readouterr().out
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert all(f"{path}\n" in said for path in files)
    assert said.endswith("  ng_test +entrypoint=resources_servers/my_env\n")
