"""Hostile programs in the sandbox: nothing gets out, nothing is left, and the limits hold."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from nemo_gym.errors import SandboxError
from nemo_gym.sandbox import Sandbox, SandboxLimits, open_sandbox, require_backend

LIMITS = SandboxLimits(
    timeout_s=5, cpu_s=3, memory_bytes=200_000_000, max_processes=20, file_bytes=2_000_000, disk_bytes=8_000_000,
    max_files=500, output_bytes=10_000,
)  # fmt: skip


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    try:
        await require_backend("bubblewrap")
    except SandboxError as error:
        pytest.skip(str(error))
    async with open_sandbox("bubblewrap", LIMITS) as sandbox:
        yield sandbox
        assert survivors(sandbox) == []


def survivors(sandbox: Sandbox) -> list[str]:
    """Names of processes that still run as the sandbox's user; where it has one of its own."""
    found = []
    uid = sandbox.workspace.uid
    for folder in Path("/proc").iterdir():
        try:
            status = (folder / "status").read_text() if folder.name.isdecimal() else ""
        except OSError:
            continue
        if uid is not None and f"Uid:\t{uid}\t" in status and "State:\tZ" not in status:
            found.append(status.splitlines()[0])
    return found


async def test_a_fork_bomb_ends_at_the_limit_of_processes(sandbox: Sandbox) -> None:
    done = await sandbox.run("bomb() { bomb | bomb & }; bomb; sleep 0.5; echo still here", timeout_s=3)
    assert b"Resource temporarily unavailable" in done.stderr
    async with open_sandbox("bubblewrap", LIMITS) as other:
        assert (await other.run(["true"])).ok


async def test_threads_count_as_processes(sandbox: Sandbox) -> None:
    script = "import threading, time\nfor n in range(100):\n    threading.Thread(target=time.sleep, args=(1,)).start()"
    done = await sandbox.run(["python", "-c", script])
    assert b"can't start new thread" in done.stderr


async def test_an_endless_loop_ends_at_its_deadline(sandbox: Sandbox) -> None:
    done = await sandbox.run("while :; do :; done", timeout_s=0.5)
    assert (done.exceeded, done.ok) == ("timeout_s", False)
    deaf = "import signal\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\nwhile True: pass"
    assert (await sandbox.run(["python", "-c", deaf], timeout_s=0.5)).exceeded == "timeout_s"


async def test_endless_output_is_cut_and_costs_no_memory(sandbox: Sandbox) -> None:
    done = await sandbox.run("echo first; yes; echo last", timeout_s=1)
    assert done.exceeded == "timeout_s" and done.dropped_bytes > 50_000_000
    assert done.stdout.startswith(b"first\n") and len(done.stdout) < 11_000
    assert b"bytes left out" in done.stdout


async def test_a_command_cannot_pass_for_a_failure_of_the_sandbox(sandbox: Sandbox) -> None:
    done = await sandbox.run("echo 'bwrap: no such thing' >&2; exit 1")
    assert (done.exit_code, done.exceeded) == (1, None)


async def test_killing_everything_kills_only_what_is_inside(sandbox: Sandbox) -> None:
    done = await sandbox.run("sleep 60 & kill -9 -1; kill -9 1; kill -9 $PPID; echo alive")
    assert done.duration_s < 5 and survivors(sandbox) == []
    done = await sandbox.run("exec perl -e 'kill 9, -1' || kill -9 $$")
    assert (await sandbox.run(["true"])).ok


async def test_what_is_started_behind_ones_back_is_gone_with_the_command(sandbox: Sandbox) -> None:
    await sandbox.run("setsid nohup sleep 300 >/dev/null 2>&1 & disown; exit 0")
    assert survivors(sandbox) == []
    closed = await sandbox.run("exec >&- 2>&-; sleep 300", timeout_s=0.5)
    assert closed.exceeded == "timeout_s"


async def test_memory_of_one_process_and_of_all_together_is_bounded(sandbox: Sandbox) -> None:
    done = await sandbox.run(["python", "-c", "x = bytearray(500_000_000)"])
    assert b"MemoryError" in done.stderr
    hog = "import time; x = bytearray(60_000_000); time.sleep(9)"
    done = await sandbox.run(f"for n in 1 2 3 4 5 6; do python -c '{hog}' & done; wait")
    assert done.exceeded == "memory_bytes"


async def test_files_are_bounded_in_size_sum_and_number(sandbox: Sandbox) -> None:
    done = await sandbox.run("head -c 5000000 /dev/zero > big; stat -c %s big")
    assert done.stdout == b"2000000\n"
    done = await sandbox.run("rm -f *; for n in 1 2 3 4 5 6 7 8 9; do head -c 1900000 /dev/zero > f$n; done; sleep 4")
    assert done.exceeded == "disk_bytes"
    await sandbox.run("rm -f *")
    done = await sandbox.run("for n in $(seq 2000); do : > f$n; done; sleep 4")
    assert done.exceeded == "max_files"
    await sandbox.run("rm -rf *")
    for place in ("/tmp", "/dev/shm"):
        done = await sandbox.run(f"for n in $(seq 20); do head -c 1900000 /dev/zero > {place}/f$n || exit 3; done")
        assert done.exit_code == 3 and b"No space left" in done.stderr
    await sandbox.run("truncate -s 1T sparse")
    assert (await sandbox.run(["true"])).ok, "a sparse file takes no space, and the limit on files holds its size"


async def test_the_cpu_time_of_a_process_is_bounded(sandbox: Sandbox) -> None:
    done = await sandbox.run("ulimit -t 1; while :; do :; done", timeout_s=4)
    assert done.exceeded is None and done.exit_code == 128 + signal.SIGKILL


@pytest.mark.parametrize("place", ["/", "/usr/bin", "/etc", "/dev", "/proc/sys/kernel", "/lib"])
async def test_nothing_outside_the_working_folder_can_be_written(sandbox: Sandbox, place: str) -> None:
    assert not (await sandbox.run(f"touch {place}/planted")).ok


async def test_this_machines_files_and_secrets_are_not_there(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_SECRET", "xyzzy-7")
    (tmp_path / "secret").write_text("xyzzy-7")
    os.chmod(tmp_path, 0o755)  # noqa: PTH101
    tries = f"cat {tmp_path}/secret; cat ~root/.ssh/* /etc/shadow; env; cat /proc/*/environ; ls /home /root /work /var"
    done = await sandbox.run(f"{tries}; cat {Path(__file__)}; ls -R {Path.cwd()}")
    assert b"xyzzy-7" not in done.stdout + done.stderr
    assert b"import pytest" not in done.stdout
    seen = await sandbox.run("ps aux | wc -l; ls /proc | grep -c '^[0-9]'")
    assert all(int(count) < 10 for count in seen.stdout.split())


async def test_there_is_no_network(sandbox: Sandbox) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    script = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2); print('connected')"
    done = await sandbox.run(["python", "-c", script])
    assert b"connected" not in done.stdout and b"Connection refused" in done.stderr
    server.close()


async def test_abstract_sockets_of_this_machine_are_out_of_reach(sandbox: Sandbox) -> None:
    server = await asyncio.start_unix_server(lambda reader, writer: writer.close(), "\0nemo-gym-test")
    script = "import socket; socket.socket(socket.AF_UNIX).connect('\\0nemo-gym-test'); print('connected')"
    assert b"connected" not in (await sandbox.run(["python", "-c", script])).stdout
    server.close()


CALLS = {
    "mount": "libc.mount(b'x', b'/tmp', b'tmpfs', 0, 0)",
    "unshare": "libc.unshare(0x10000000)",
    "clone into a user namespace": "libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)",
    "setns": "libc.setns(os.open('/proc/self/ns/mnt', 0), 0)",
    "ptrace": "libc.ptrace(16, os.getppid(), 0, 0)",
    "chroot": "libc.chroot(b'/tmp')",
    "bpf": "libc.syscall(321, 0, 0, 0)",
    "io_uring": "libc.syscall(425, 1, 0)",
    "keyctl": "libc.syscall(250, 0, -3, 0)",
    "perf": "libc.syscall(298, 0, 0, 0, 0, 0)",
    "userfaultfd": "libc.syscall(323, 0)",
    "setuid": "libc.setuid(0)",
    "device": "libc.mknod(b'/work/mem', 0o20666, os.makedev(1, 1))",
    "terminal": "libc.ioctl(0, 0x5412, b'x')",
    "packet socket": "libc.socket(17, 3, 0)",
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of these calls are those of x86_64")
async def test_calls_that_no_ordinary_program_needs_are_refused(sandbox: Sandbox) -> None:
    lines = ["import ctypes, os", "libc = ctypes.CDLL(None, use_errno=True)"]
    for name, call in CALLS.items():
        lines += [f"if {call} != -1: print('{name} is allowed', flush=True)"]
    done = await sandbox.run(["python", "-c", "\n".join(lines)])
    assert (done.stdout, done.exit_code) == (b"", 0), done.stderr


async def test_a_setuid_program_gives_no_rights(sandbox: Sandbox) -> None:
    done = await sandbox.run("su -c id; sudo id; mount /dev/sda1 /tmp; newgrp root < /dev/null; id -u; id -G")
    assert b"uid=0" not in done.stdout
    assert int(done.stdout.split()[-1]) != 0


async def test_links_lead_nowhere_from_outside(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("xyzzy-7")
    await sandbox.run(
        f"ln -s {tmp_path}/secret link; ln -s {tmp_path} folder; mkfifo pipe; mkdir real; ln -s / real/root"
    )
    for path in (
        "link",
        "folder/secret",
        "pipe",
        "real",
        f"real/root{tmp_path}/secret",
        "../x",
        "/etc/passwd",
        "a\0b",
        "",
    ):
        with pytest.raises(SandboxError):
            await sandbox.read_file(path)
    for path in ("link", "folder/planted", "pipe", "real"):
        with pytest.raises(SandboxError):
            await sandbox.write_file(path, b"planted")
    assert await sandbox.list_files() == []
    assert (tmp_path / "secret").read_text() == "xyzzy-7" and not (tmp_path / "planted").exists()
    await sandbox.write_file("real/ok.txt", "fine")
    assert await sandbox.read_file("real/ok.txt") == b"fine"
    with pytest.raises(SandboxError, match="longer than 2 bytes"):
        await sandbox.read_file("real/ok.txt", max_bytes=2)


async def test_a_folder_that_is_deep_or_closed_is_deleted_all_the_same(sandbox: Sandbox) -> None:
    folder = sandbox.workspace.path
    await sandbox.run("mkdir closed; touch closed/file; chmod 000 closed")
    script = "import os\nfor n in range(3000):\n    os.mkdir('d'); os.chdir('d')"
    deep = SandboxLimits(max_files=100_000)
    async with open_sandbox("bubblewrap", deep) as other:
        await other.run(["python", "-c", script])
        deep_folder = other.workspace.path
    assert not deep_folder.parent.exists()
    await sandbox.close()
    assert not folder.exists()
    with pytest.raises(SandboxError, match="closed"):
        await sandbox.run(["true"])


async def test_cancelling_ends_what_runs(sandbox: Sandbox) -> None:
    task = asyncio.ensure_future(sandbox.run("trap '' TERM INT; touch begun; while :; do sleep 60; done"))
    while not (sandbox.workspace.path / "begun").exists():  # noqa: ASYNC110  another process makes it
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert survivors(sandbox) == []
    assert (await sandbox.run(["true"])).ok


def running_with(mark: str) -> list[str]:
    """Processes whose command line holds `mark` as an argument of its own."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdecimal() else []
        except OSError:
            continue
        if mark.encode() in words and b"bwrap" not in words[0]:
            found.append(folder.name)
    return found


@pytest.mark.parametrize("runner", [asyncio.Runner, lambda: asyncio.Runner(loop_factory=uvloop.new_event_loop)])
def test_cancelled_at_whatever_moment_nothing_is_left(runner: Callable[[], asyncio.Runner]) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    mark = f"{random.randrange(10**6)}.5"

    async def cancel_often() -> None:
        for number in range(30):
            async with open_sandbox("bubblewrap", LIMITS) as sandbox:
                task = asyncio.ensure_future(sandbox.run(["sleep", mark]))
                await asyncio.sleep(0.0006 * number)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert running_with(mark) == []

    with runner() as loop:
        loop.run(cancel_often())


def test_a_server_killed_at_whatever_moment_leaves_nothing() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    script = (
        "import asyncio, sys\nfrom nemo_gym.sandbox import open_sandbox\n"
        "async def main():\n    async with open_sandbox() as s:\n        await s.run(['true'])\n"
        "        print(s.workspace.path, flush=True)\n        sys.stdin.readline()\n"
        "        await s.run(['sleep', sys.argv[1]])\nasyncio.run(main())"
    )
    marks = [f"{random.randrange(10**6)}.25" for _ in range(12)]
    for number, mark in enumerate(marks):
        server = subprocess.Popen(
            [sys.executable, "-c", script, mark], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert server.stdin is not None and server.stdout is not None
        folder = Path(server.stdout.readline().strip())
        server.stdin.write("\n")
        server.stdin.flush()
        time.sleep(0.0012 * number)
        server.kill()
        server.communicate()
        shutil.rmtree(folder.parent)
    time.sleep(0.5)
    server_processes = {mark: running_with(mark) for mark in marks}
    assert server_processes == {mark: [] for mark in marks}


async def test_sandboxes_side_by_side_do_not_see_each_other(sandbox: Sandbox) -> None:
    async def one(number: int) -> bytes:
        async with open_sandbox("bubblewrap", LIMITS, files={"mine": str(number)}) as other:
            return (await other.run("sleep 0.2; cat mine; ls; pgrep -c sleep")).stdout

    answers = await asyncio.gather(*(one(number) for number in range(24)))
    assert answers == [f"{number}mine\n0\n".encode() for number in range(24)]


def test_a_sandbox_dies_with_the_process_that_opened_it(tmp_path: Path) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    script = (
        "import asyncio\nfrom nemo_gym.sandbox import open_sandbox\n"
        "async def main():\n    async with open_sandbox() as s:\n        print(s.workspace.path, flush=True)\n"
        "        await s.run('touch begun; exec sleep 4321')\nasyncio.run(main())"
    )
    server = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    folder = Path(server.stdout.readline().strip())
    while not (folder / "begun").exists():
        time.sleep(0.02)
    server.kill()
    server.wait()
    for _ in range(100):
        if subprocess.run(["pgrep", "-f", "sleep 4321"], capture_output=True, check=False).returncode == 1:
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the sandbox outlives its server")
    shutil.rmtree(folder.parent)
