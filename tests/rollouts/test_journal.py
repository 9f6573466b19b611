"""The journal: cut off at any byte it is whole again, and two writers never share it."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from nemo_gym.errors import DataError
from nemo_gym.rollouts.journal import Journal

LINES = [b'{"a":1}', '{"text":"{ü}"}'.encode(), b'{"last":[1,2]}']


def texts(journal: Journal) -> list[bytes]:
    return [line for _, line in journal.lines()]


def test_cut_off_at_any_byte_it_keeps_every_whole_line_and_can_go_on(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    content = b"".join(line + b"\n" for line in LINES)
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        if content[:cut] + b"\n" in (content[: content.index(line) + len(line) + 1] for line in LINES):
            whole += 1  # the line is all there, only its end is missing
        with Journal(path) as journal:
            journal.mend()
            assert texts(journal) == LINES[:whole], cut
            journal.append(b'{"next":1}')
        assert path.read_bytes() == b"".join(line + b"\n" for line in [*LINES[:whole], b'{"next":1}'])


def test_a_torn_line_longer_than_a_block_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":"' + b"x" * 200_000)
    with Journal(path) as journal:
        journal.mend()
    assert path.read_bytes() == b'{"a":1}\n'


def test_cutting_off_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a"')
    with caplog.at_level(logging.WARNING), Journal(path) as journal:
        journal.mend()
    assert "torn last line of 4 bytes" in caplog.text


def test_a_second_writer_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with Journal(path), pytest.raises(DataError, match="another collection is writing"):
        Journal(path)
    Journal(path).close()


def test_the_lock_ends_with_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    script = (
        "import sys, pathlib; from nemo_gym.rollouts.journal import Journal;"
        "journal = Journal(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(DataError, match="another collection is writing"):
        Journal(path)
    holder.kill()
    holder.communicate()
    Journal(path).close()


def test_keep_leaves_only_the_lines_named_and_appends_after_them(tmp_path: Path) -> None:
    with Journal(tmp_path / "x.jsonl") as journal:
        for line in LINES:
            journal.append(line)
        journal.keep({1, 3})
        journal.append(b"{}")
        assert texts(journal) == [LINES[0], LINES[2], b"{}"]
        with pytest.raises(DataError):
            Journal(journal.path)  # the lock holds on the new file, too


def test_a_line_that_does_not_fit_is_a_clear_error_and_leaves_nothing_torn(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    script = (
        "import pathlib, resource, sys; from nemo_gym.errors import NemoGymError;"
        "from nemo_gym.rollouts.journal import Journal;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); journal = Journal(pathlib.Path(sys.argv[1]));"
        "journal.append(b'{}')\n"
        "try: journal.append(b'x' * 200)\n"
        "except NemoGymError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert "cannot be written (File too large)" in done.stdout
    assert path.read_bytes() == b"{}\n"


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        Journal(tmp_path / "file" / "x.jsonl")
