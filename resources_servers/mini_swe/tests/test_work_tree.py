from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_gym.sandbox import SandboxLimits, open_sandbox
from resources_servers.mini_swe.work_tree import MAX_FILE_BYTES, Changes, WorkTreeError, file_diff, read_changes

BEFORE = {"a.py": "one\ntwo\nthree\n", "b/c.py": "x\n", ".hidden": "kept\n"}


def patched(before: str, diff: str) -> str:
    """What a unified diff of one hunk makes of a text."""
    if "@@" not in diff:
        return before
    place, _, hunk = diff.partition("@@ -")[2].partition("\n")
    start, count = map(int, place.split(" ")[0].split(","))
    taken, written, last = list[str](), list[str](), ""
    for line in hunk.split("\n")[:-1]:
        for kinds, side in ((" -", taken), (" +", written)):
            if line[0] in kinds:
                side.append(line[1:] + "\n")
            elif line[0] == "\\" and last in kinds:
                side[-1] = side[-1].removesuffix("\n")
        last = line[0]
    old = before.splitlines(keepends=True)
    first = start - 1 if count else start
    assert old[first : first + count] == taken
    return "".join([*old[:first], *written, *old[first + count :]])


lines = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n"]), max_size=9).map("".join)
texts = st.tuples(lines, st.sampled_from(["", "a", "z"])).map("".join)


@given(texts, texts)
def test_a_diff_turns_one_text_into_the_other(before: str, after: str) -> None:
    assert patched(before, file_diff("f", before, after)) == after


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("one\ntwo\nthree\n", "one\n2\nthree"),
        (None, "new\n"),
        ("old\n", None),
        ("", "x"),
        (None, ""),
        ("a\n" * 20, "a\n" * 9),
    ],
)
def test_git_applies_the_diff(before: str | None, after: str | None, tmp_path: Path) -> None:
    file = tmp_path / "f.txt"
    if before is not None:
        file.write_text(before, encoding="utf-8")
    diff = file_diff("f.txt", before, after)
    if before is None and after == "":
        return  # git has a form of its own for empty files
    done = subprocess.run(
        ["git", "apply", "--unsafe-paths", "-"], cwd=tmp_path, input=diff, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (file.read_text(encoding="utf-8") if file.exists() else None) == after


def test_changes_are_applied_as_a_whole() -> None:
    changes = Changes({"a.py": "1\n", "b/c.py": None, "new.py": "2\n"})
    assert changes.applied_to(BEFORE) == {"a.py": "1\n", "new.py": "2\n", ".hidden": "kept\n"}
    diff = changes.diff(BEFORE)
    assert [line for line in diff.splitlines() if line.startswith(("---", "+++"))] == [
        "--- a/a.py",
        "+++ b/a.py",
        "--- a/b/c.py",
        "+++ /dev/null",
        "--- /dev/null",
        "+++ b/new.py",
    ]


async def changes_after(files: dict[str, bytes], command: str = "true") -> Changes:
    async with open_sandbox("subprocess_not_secure", SandboxLimits(max_files=200), files=BEFORE) as sandbox:
        await sandbox.write_files(files)
        await sandbox.run(command)
        return await read_changes(sandbox, BEFORE)


async def test_only_text_that_differs_is_a_change() -> None:
    assert await changes_after({}) == Changes({})
    written = {
        "a.py": b"one\r\n",
        "b/new.py": "ü\n".encode(),
        "__pycache__/a.pyc": b"x",
        ".cache/x": b"x",
        "d/.y": b"x",
    }
    assert await changes_after(written, "rm b/c.py .hidden") == Changes(
        {"a.py": "one\r\n", "b/new.py": "ü\n", "b/c.py": None, ".hidden": None}
    )


async def test_binary_and_huge_files_and_odd_names_are_left_out_and_links_do_not_count() -> None:
    odd = {"data.bin": b"\xff\xfe", "huge.txt": b"x" * (MAX_FILE_BYTES + 1), "new\nline.py": b"x"}
    changes = await changes_after(odd, "ln -s /etc/passwd link.py; rm a.py; ln -s /etc/passwd a.py")
    assert changes.files == {"a.py": None}
    assert set(changes.ignored) == set(odd)


async def test_a_tree_that_grew_beyond_all_measure_is_no_solution() -> None:
    with pytest.raises(WorkTreeError, match="more than 200 files"):
        await changes_after({f"{number}.txt": b"" for number in range(300)})
    with pytest.raises(WorkTreeError, match="1,000,000 characters"):
        await changes_after({f"{number}.txt": b"x" * MAX_FILE_BYTES for number in range(5)})
