"""The token of a run: found by its owner in the run's folder and by its head server's port, by nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nemo_gym.config_types import BaseServerConfig, HeadServerConfig
from nemo_gym.errors import LaunchError
from nemo_gym.serving import run_token as tokens
from nemo_gym.serving.run_token import AUTHORIZATION_FILE, is_address_of, new_token, read_token
from nemo_gym.serving.runs import RunFolder, find_run, run_token, token_of

HEAD = "http://127.0.0.1:4711"


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the machine's, which real runs use."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tokens.tempfile, "gettempdir", lambda: str(folder))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunFolder]:
    run = RunFolder.create(tmp_path)
    run.record(HEAD, "the-token")
    yield run
    run.close()


def test_tokens_are_random() -> None:
    assert len({new_token() for _ in range(100)}) == 100 and len(new_token()) >= 43


def test_it_is_a_header_that_only_the_owner_can_read(run: RunFolder, tmp_path: Path) -> None:
    path = tmp_path / ".nemo_gym" / "latest" / AUTHORIZATION_FILE
    assert path.read_text() == "Authorization: Bearer the-token\n"
    assert path.stat().st_mode & 0o077 == 0
    assert read_token(path) == "the-token"


def test_it_is_found_in_the_runs_folder_and_by_port_from_any_other(
    run: RunFolder, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for cwd in (tmp_path, elsewhere):
        assert token_of(HEAD, cwd) == "the-token"
        assert token_of("http://localhost:4711", cwd) == "the-token"
        assert find_run(cwd, BaseServerConfig(host="127.0.0.1", port=4711)) == (HEAD, "the-token")
    monkeypatch.chdir(tmp_path)
    assert run_token() == "the-token"
    monkeypatch.chdir(elsewhere)
    with pytest.raises(LaunchError, match="start one with ng_run"):
        run_token()


def test_it_is_for_its_own_head_server_only(run: RunFolder, tmp_path: Path) -> None:
    for url in ("http://127.0.0.1:4712", "http://10.0.0.9:4711", "http://example.com:4711", "http://127.0.0.1:80"):
        assert token_of(url, tmp_path) is None


def test_a_token_that_is_given_goes_before_one_that_is_found(run: RunFolder, tmp_path: Path) -> None:
    head = HeadServerConfig(host="127.0.0.1", port=4711, token="another")
    assert find_run(tmp_path, head) == (HEAD, "another")
    assert "another" not in repr(head)


def test_it_is_gone_with_its_run(tmp_path: Path, temporary_folder: Path) -> None:
    run = RunFolder.create(tmp_path)
    run.record(HEAD, "the-token")
    run.close()
    assert token_of(HEAD, tmp_path) is None
    assert not list(tmp_path.rglob(AUTHORIZATION_FILE))
    assert not [path for path in temporary_folder.rglob("*") if not path.is_dir() or path.is_symlink()]


@pytest.mark.parametrize("mode", [0o777, 0o750])
def test_a_folder_of_pointers_that_others_can_enter_is_not_trusted(
    mode: int, tmp_path: Path, temporary_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = RunFolder.create(tmp_path)
    run.record(HEAD, "the-token")
    [pointers] = temporary_folder.iterdir()
    assert pointers.stat().st_mode & 0o077 == 0
    pointers.chmod(mode)
    assert token_of(HEAD, tmp_path_factory.mktemp("elsewhere")) is None
    run.close()


def test_the_latest_run_is_the_one_that_was_started_last(run: RunFolder, tmp_path: Path) -> None:
    second = RunFolder.create(tmp_path)
    second.record("http://127.0.0.1:4712", "the-second")
    assert read_token(tmp_path / ".nemo_gym" / "latest" / AUTHORIZATION_FILE) == "the-second"
    assert token_of(HEAD, tmp_path) == "the-token"
    second.close()


@pytest.mark.parametrize(
    ("listens_on", "known", "asked", "same"),
    [
        ("127.0.0.1", "http://127.0.0.1:1", "http://127.0.0.1:1", True),
        ("127.0.0.1", "http://127.0.0.1:1", "http://localhost:1", True),
        ("127.0.0.1", "http://127.0.0.1:1", "http://127.0.0.1:2", False),
        ("0.0.0.0", "http://10.0.0.1:1", "http://127.0.0.1:1", True),
        ("0.0.0.0", "http://10.0.0.1:1", "http://10.0.0.1:1", True),
        ("10.0.0.1", "http://10.0.0.1:1", "http://127.0.0.1:1", False),
        ("127.0.0.1", "http://127.0.0.1:1", "http://10.0.0.1:1", False),
    ],
)
def test_which_addresses_lead_to_a_head_server(listens_on: str, known: str, asked: str, same: bool) -> None:
    assert is_address_of(listens_on, known, asked) is same


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"], ids=["absent", "empty", "no text"])
def test_a_file_without_a_token_is_an_error_that_names_it(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LaunchError, match=str(path)):
        read_token(path)
