"""Run folders: found while their launcher lives, left for their logs after."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nemo_gym.errors import LaunchError
from nemo_gym.serving import runs
from nemo_gym.serving.runs import RunFolder, find_head, live_runs


def test_a_run_is_found_while_it_lives(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    assert live_runs(tmp_path) == []
    record = folder.record("http://127.0.0.1:12345")
    assert live_runs(tmp_path) == [record]
    assert find_head(tmp_path) == "http://127.0.0.1:12345"
    folder.close()
    assert live_runs(tmp_path) == []
    assert find_head(tmp_path) == "http://127.0.0.1:11000"


def test_a_killed_launcher_is_not_live(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from nemo_gym.serving.runs import RunFolder\n"
        f"folder = RunFolder.create(Path({str(tmp_path)!r})); folder.record('http://127.0.0.1:1')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert list(tmp_path.glob(".nemo_gym/runs/*/run.json"))
    assert live_runs(tmp_path) == []


def test_several_live_runs_need_an_address(tmp_path: Path) -> None:
    folders = [RunFolder.create(tmp_path) for _ in range(2)]
    for port, folder in enumerate(folders, start=12345):
        folder.record(f"http://127.0.0.1:{port}")
    with pytest.raises(LaunchError, match=r"12345.*12346.*head_server\.port"):
        find_head(tmp_path)
    assert find_head(tmp_path, port=12346) == "http://127.0.0.1:12346"
    assert find_head(tmp_path, host="10.0.0.1") == "http://10.0.0.1:11000"
    for folder in folders:
        folder.close()


def test_folders_are_their_owners_and_ignored_by_git(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    assert folder.path.stat().st_mode & 0o077 == 0
    assert (tmp_path / ".nemo_gym" / ".gitignore").read_text() == "*\n"
    folder.close()


def test_only_the_newest_ended_runs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "KEPT_RUNS", 2)
    live = RunFolder.create(tmp_path)
    ended = []
    for _ in range(4):
        folder = RunFolder.create(tmp_path)
        folder.close()
        ended.append(folder.run_id)
    last = RunFolder.create(tmp_path)
    left = {path.name for path in (tmp_path / ".nemo_gym" / "runs").iterdir()}
    assert {live.run_id, last.run_id} <= left and len(left & set(ended)) == 2
    live.close()
    last.close()


def test_a_folder_that_cannot_be_written_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / ".nemo_gym").write_text("a file where the folder belongs")
    with pytest.raises(LaunchError, match="cannot make the run's folder"):
        RunFolder.create(tmp_path)
