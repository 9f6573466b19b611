"""Tasks with an image, against a stand-in for `docker`: no engine is needed, and no image is run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nemo_gym.errors import SandboxError
from nemo_gym.sandbox import SandboxLimits, opening
from resources_servers.mini_swe.image import ImageWorkplace, outcome_of, pytest_command
from resources_servers.mini_swe.verifier import HiddenTests
from resources_servers.mini_swe.work_tree import file_diff

FAKE_DOCKER = """#!{python}
import os, sys
# As `docker run`, as far as these tests see: the image's folder lies on this machine, a command runs in the volume.
arguments = sys.argv[1:]
image = next(place for place, word in enumerate(arguments) if word.startswith("image:"))
[host, inside] = next(word for word in arguments if word.startswith("--volume=")).removeprefix("--volume=").split(":")
command = [word.replace(" /work/", f" {host}/") for word in arguments[image + 1 :]]
os.chdir(host)
os.environ.update(HOME=host, GIT_CONFIG_NOSYSTEM="1", PATH=os.environ["REAL_PATH"])
os.execvp(command[0], command)
"""
BEFORE, AFTER = "def double(x):\n    return x + 2\n", "def double(x):\n    return x * 2\n"
TEST = """import unittest
from w import double
class T(unittest.TestCase):
    def test_a(self):
        assert double(3) == 6
    def test_b(self):
        assert double(2) == 4
"""
TEST_A, TEST_B = "test_a (test_w.T.test_a)", "test_b (test_w.T.test_b)"
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
TESTS = HiddenTests({}, [TEST_A], [TEST_B])


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageWorkplace:
    """A task whose image holds a git repository with `w.py` and an old test."""
    repository, programs = tmp_path / "testbed", tmp_path / "bin"
    repository.mkdir()
    programs.mkdir()
    (repository / "w.py").write_text(BEFORE, encoding="utf-8")
    (repository / "test_w.py").write_text("old\n", encoding="utf-8")
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "base"]):
        subprocess.run(["git", *arguments], cwd=repository, check=True, capture_output=True)
    docker = programs / "docker"
    docker.write_text(FAKE_DOCKER.replace("{python}", sys.executable), encoding="utf-8")
    docker.chmod(0o755)
    monkeypatch.setattr("nemo_gym.sandbox.docker.program", lambda name: str(docker))
    monkeypatch.setattr(
        "nemo_gym.sandbox.docker.DockerSandbox.host_env", lambda self, env: {"REAL_PATH": os.environ["PATH"]}
    )
    monkeypatch.setattr(opening, "_working", {"docker"})
    command = f"{sys.executable} -B -m unittest -v test_w.py"
    return ImageWorkplace(
        "image:1", str(repository), TESTS, file_diff("test_w.py", "old\n", TEST), command, commands=SandboxLimits()
    )


@needs_git
async def test_a_solution_is_the_git_diff_and_is_judged_in_a_fresh_copy(workplace: ImageWorkplace) -> None:
    try:
        assert (await workplace.run("cat test_w.py", 10)).text == "old\n"
        assert await workplace.patch() == ""
        verdict = await workplace.judge()
        assert list(verdict.failed) == [TEST_A]
        await workplace.run(f"cat > w.py <<'EOF'\n{AFTER}EOF\necho hacked > test_w.py; echo new > new.txt", 10)
        patch = await workplace.patch()
        assert "+    return x * 2" in patch and "new.txt" in patch
        verdict = await workplace.judge()
        assert verdict.resolved, verdict
    finally:
        await workplace.close()


@needs_git
async def test_a_test_patch_that_does_not_fit_is_a_failure_and_no_verdict(workplace: ImageWorkplace) -> None:
    workplace._test_patch = file_diff("other.py", "x\n", "y\n")
    try:
        await workplace.run("true", 10)
        with pytest.raises(SandboxError, match="`test_patch` does not fit"):
            await workplace.judge()
    finally:
        await workplace.close()


def test_outcomes_are_read_from_pytest_and_unittest() -> None:
    text = "PASSED t.py::a\nFAILED t.py::b[x y] - assert 1 == 2\nERROR t.py::c\nSKIPPED t.py::d\ntest_e (m.T) ... ok\n"
    assert outcome_of(text + "test_f (m.T) ... FAIL\n") == {
        "t.py::a": None,
        "t.py::b[x y]": "FAILED",
        "t.py::c": "ERROR",
        "t.py::d": "SKIPPED",
        "test_e (m.T)": None,
        "test_f (m.T)": "FAIL",
    }
    diff = file_diff("a b/test_x.py", "1\n", "2\n") + file_diff("doc.md", "1\n", "2\n")
    assert pytest_command(diff).endswith("'a b/test_x.py'")
