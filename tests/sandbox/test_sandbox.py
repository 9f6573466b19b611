"""What a sandbox is for: commands over files, results as facts, backends that say what they are."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from nemo_gym.errors import SandboxError
from nemo_gym.sandbox import SandboxLimits, open_sandbox, require_backend
from nemo_gym.sandbox.docker import DockerSandbox
from nemo_gym.sandbox.output import CutOutput

BACKENDS = [
    pytest.param(
        "bubblewrap",
        marks=pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
    ),
    "subprocess_not_secure",
]


@pytest.mark.parametrize("backend", BACKENDS)
async def test_commands_share_the_files_of_their_folder(backend: str) -> None:
    async with open_sandbox(backend, files={"pkg/a.py": "print(6 * 7)", "in.txt": b"\xff\x00"}) as sandbox:
        assert (await sandbox.run(["python", "pkg/a.py"])).stdout == b"42\n"
        assert (await sandbox.run("cd pkg && echo more > b.txt")).ok
        assert await sandbox.list_files() == ["in.txt", "pkg/a.py", "pkg/b.txt"]
        assert await sandbox.read_file("in.txt") == b"\xff\x00"
        folder = sandbox.workspace.path
    assert not folder.exists()


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_result_tells_exit_code_streams_and_time(backend: str) -> None:
    async with open_sandbox(backend) as sandbox:
        done = await sandbox.run("cat; echo out; echo err >&2; exit 7", stdin=b"in\n", env={"X": "1"})
        assert (done.exit_code, done.stdout, done.stderr, done.ok) == (7, b"in\nout\n", b"err\n", False)
        assert done.duration_s > 0 and done.exceeded is None
        merged = await sandbox.run('echo "$X"; echo err >&2; echo out', env={"X": "1"}, merge_stderr=True)
        assert (merged.text, merged.stderr) == ("1\nerr\nout\n", b"")
        assert (await sandbox.run(["no-such-program"])).exit_code == 127
        assert (await sandbox.run("sleep 9", timeout_s=0.3)).exceeded == "timeout_s"
        assert (await sandbox.run("exit 1")).exit_code == 1
        assert (await sandbox.run("echo 'bwrap: hello' >&2; exit 2")).exit_code == 2
        with pytest.raises(SandboxError, match="NUL"):
            await sandbox.run("echo \0")
        with pytest.raises(SandboxError, match="relative"):
            await sandbox.write_file("../x", "")


def test_programs_that_end_before_they_are_fed_are_no_failure_on_the_event_loop_of_servers() -> None:
    async def one() -> bool:
        async with open_sandbox("subprocess_not_secure") as sandbox:
            return all([(await sandbox.run("true", stdin=b"x" * size)).ok for size in (0, 100_000) * 4])

    async def many() -> list[bool]:
        return await asyncio.gather(*(one() for _ in range(10)))

    assert all(uvloop.run(many()))


async def test_a_backend_that_does_not_work_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("nemo_gym.sandbox.opening._working", set())
    monkeypatch.setattr("os.defpath", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match=r"install the package bubblewrap.*`subprocess_not_secure`"):
        await require_backend("auto")
    with pytest.raises(SandboxError, match=r"no sandbox backend `dokcer`.*`docker`"):
        await require_backend("dokcer")


async def test_docker_runs_the_command_without_network_rights_or_a_writable_root() -> None:
    sandbox = DockerSandbox(SandboxLimits(max_processes=9), [Path("/data")], image="task:1")
    try:
        if shutil.which("docker") is None:
            pytest.skip("the docker client is not installed")
        line, handles = sandbox.command_line(["bash", "-c", "id"], {"A": "1"})
        assert handles == () and line[1:3] == ["run", "--rm"] and line[-4:] == ["task:1", "bash", "-c", "id"]
        wanted = {
            "--network=none",
            "--read-only",
            "--cap-drop=ALL",
            "--pids-limit=9",
            "--volume=/data:/data:ro",
            "--env=A=1",
        }
        assert wanted <= set(line)
        asked = await asyncio.create_subprocess_exec("docker", "info", stdout=-3, stderr=-3)
        if await asked.wait() != 0:
            with pytest.raises(SandboxError, match="docker cannot run a container"):
                await sandbox.run(["true"])
    finally:
        await sandbox.close()


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("bwrap") is None, reason="needs root, to become another user")
def test_it_works_for_ordinary_users_too(tmp_path: Path) -> None:
    if shutil.which("python3", path="/usr/bin") is None:
        pytest.skip("no Python that other users can run")
    source = tmp_path / "code"
    shutil.copytree(Path("nemo_gym"), source / "nemo_gym", ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "import asyncio, sys\nfrom nemo_gym.sandbox import SandboxLimits, open_sandbox\n"
        "async def main():\n    async with open_sandbox('bubblewrap', SandboxLimits(max_processes=8)) as s:\n"
        "        print((await s.run('id -u; unshare -Ur true || echo no namespaces')).text)\n"
        "        print((await s.run('for n in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait', timeout_s=3)).stderr)\n"
        "asyncio.run(main())"
    )
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", script],
        env={"PYTHONPATH": str(source), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "65534\nno namespaces" in done.stdout, done.stderr
    assert "fork" in done.stdout


def test_cut_output_keeps_both_ends() -> None:
    output = CutOutput(10)
    for piece in (b"abc", b"defgh" * 40_000, b"xyz"):
        output.feed(piece)
    assert output.value().startswith(b"abcde\n[... 199996 bytes left out ...]\n") and output.value().endswith(b"ghxyz")
    short = CutOutput(10)
    short.feed(b"0123456789")
    assert (short.value(), short.dropped) == (b"0123456789", 0)


def test_importing_the_sandbox_starts_nothing() -> None:
    code = "import nemo_gym.sandbox, threading, sys; print(threading.active_count(), 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "1"
