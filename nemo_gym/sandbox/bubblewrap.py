"""bubblewrap: commands in namespaces of their own, without network and rights, over a read-only system."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

from nemo_gym.errors import SandboxError
from nemo_gym.sandbox.limits import SandboxLimits
from nemo_gym.sandbox.sandbox import WORK, Sandbox
from nemo_gym.sandbox.seccomp import open_filter
from nemo_gym.sandbox.workspace import Workspace

UIDS = range(60_000, 64_000)
"""Where this process is root, each sandbox runs as one of these users: limits on processes are counted by user."""
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
OF_ETC = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "ssl/certs", "ca-certificates")
GATE = 'printf . && IFS= read -r begin && exec "$@"'
"""See `Sandbox.gated`."""
_USERS = "root:x:0:0:root:/root:/bin/sh\nsandbox:x:{uid}:{uid}:sandbox:/work:/bin/bash\n"
_GROUPS = "root:x:0:\nsandbox:x:{uid}:\n"


_uids_in_use: set[int] = set()


class BubblewrapSandbox(Sandbox):
    """See `docs/sandbox.md` for what is promised."""

    secure: ClassVar[bool] = True
    gated: ClassVar[bool] = True

    def __init__(self, limits: SandboxLimits, read_only: Sequence[Path] = ()) -> None:
        """`read_only`: more folders of this machine that commands may read, at the same place."""
        self._is_root = os.geteuid() == 0
        self._uid = _free_uid() if self._is_root else os.geteuid()
        self._read_only = [*interpreter_folders(), *read_only]
        super().__init__(limits, Workspace(self._uid if self._is_root else None))

    def command_line(self, argv: Sequence[str], env: Mapping[str, str]) -> tuple[list[str], tuple[int, ...]]:
        limits = self.limits
        line = [program("bwrap"), "--die-with-parent", "--new-session", "--clearenv"]
        line += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--hostname", "sandbox"]
        line += ["--unshare-cgroup-try"]
        line += _system_folders()
        for folder in self._read_only:
            for above in reversed(folder.parents[:-1]):
                line += ["--perms", "0755", "--dir", str(above)]
            line += ["--ro-bind", str(folder), str(folder)]
        handles = [_text_handle(text.format(uid=self._uid)) for text in (_USERS, _GROUPS)]
        line += ["--ro-bind-data", str(handles[0]), "/etc/passwd", "--ro-bind-data", str(handles[1]), "/etc/group"]
        tmpfs = ["--perms", "1777", "--size", str(limits.disk_bytes), "--tmpfs"]
        line += ["--proc", "/proc", "--dev", "/dev", *tmpfs, "/dev/shm", "--remount-ro", "/dev", *tmpfs, "/tmp"]
        line += ["--bind", str(self.workspace.path), WORK, "--remount-ro", "/", "--chdir", WORK]
        variables = {"PATH": _path(), "HOME": WORK, "TMPDIR": "/tmp", "LANG": "C.UTF-8", "USER": "sandbox", **env}
        for name, value in variables.items():
            line += ["--setenv", name, value]
        seccomp = open_filter()
        if seccomp is not None:
            handles.append(seccomp)
            line += ["--seccomp", str(seccomp)]
        self._status, status = os.pipe()
        handles.append(status)
        line += ["--json-status-fd", str(status)]
        if self._is_root:
            # No user namespace is needed, and the filter allows none. Rights are given up inside, where they served
            # to become another user.
            line += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]
            line += [program("setpriv"), f"--reuid={self._uid}", f"--regid={self._uid}", "--clear-groups"]
            line += ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
        else:
            line += ["--unshare-user", *(["--disable-userns"] if _has_disable_userns() else []), "--cap-drop", "ALL"]
        # Until the first process inside is there, bubblewrap's own end would not end it: hence the gate.
        line += [program("prlimit"), *_rlimits(limits), "--", "/bin/sh", "-c", GATE, "sh", *argv]
        return line, tuple(handles)

    async def close(self) -> None:
        await super().close()
        _uids_in_use.discard(self._uid)

    async def all_gone(self) -> None:
        # bubblewrap itself may end a moment before the first process inside, whose end is the end of all others.
        with os.fdopen(self._status, "rb") as status:
            first = status.readline()
            # Written where the command began and came to its end; what it does itself cannot write here.
            self._command_ended = b'"exit-code"' in status.read()
        pid = json.loads(first)["child-pid"] if first.strip() else None
        while pid is not None and _is_alive(pid):  # noqa: ASYNC110  another process, whose end nobody tells us
            await asyncio.sleep(0.001)

    def check_start(self, exit_code: int, stderr: bytes) -> None:
        if not self._command_ended:
            told = stderr.decode(errors="replace").strip()[:500] or f"exit code {exit_code}"
            raise SandboxError(f"bubblewrap fails: {told}")


def _free_uid() -> int:
    """A user that no other sandbox of this process runs as. Those of other processes may."""
    free = [uid for uid in random.sample(UIDS, 100) if uid not in _uids_in_use] or list(UIDS)
    _uids_in_use.add(free[0])
    return free[0]


def _is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def interpreter_folders() -> list[Path]:
    """Where this Python lies, if not in `/usr`: programs inside use the same one. Without packages of this project."""
    base = Path(sys.base_prefix).resolve()
    return [] if base.is_relative_to("/usr") else [base]


def program(name: str) -> str:
    """Where a program lies. Raises `SandboxError` where it is not installed."""
    found = shutil.which(name, path=os.defpath + os.pathsep + os.environ.get("PATH", ""))
    if found is None:
        package = {"bwrap": "bubblewrap"}.get(name, "util-linux")
        raise SandboxError(f"`{name}` is not installed: install the package {package} (`apt-get install {package}`)")
    return found


def _path() -> str:
    folders = [f"{folder}/bin" for folder in interpreter_folders()]
    return os.pathsep.join([*folders, "/usr/local/bin", "/usr/bin", "/bin"])


@cache
def _system_folders() -> list[str]:
    line: list[str] = []
    for folder in map(Path, SYSTEM):
        if folder.is_symlink():
            line += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            line += ["--ro-bind", str(folder), str(folder)]
    line += ["--perms", "0755", "--dir", "/etc", "--perms", "0755", "--dir", "/etc/ssl"]
    for name in OF_ETC:
        line += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return line


@cache
def _has_disable_userns() -> bool:
    done = subprocess.run([program("bwrap"), "--help"], capture_output=True, text=True, check=False)
    return "--disable-userns" in done.stdout + done.stderr


def _rlimits(limits: SandboxLimits) -> list[str]:
    return [
        f"--nproc={limits.max_processes}",
        f"--as={limits.memory_bytes}",
        f"--fsize={limits.file_bytes}",
        f"--cpu={limits.cpu_s}",
        "--core=0",
        "--nofile=1024",
    ]


def _text_handle(text: str) -> int:
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        handle = os.dup(file.fileno())
    os.lseek(handle, 0, os.SEEK_SET)
    return handle
