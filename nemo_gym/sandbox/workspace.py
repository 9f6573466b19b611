"""The working folder of a sandbox, from outside: nothing that lies in it can lead the reader elsewhere."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from nemo_gym.errors import SandboxError

MAX_READ_BYTES = 64_000_000
MAX_DEPTH = 64
"""Folders within folders that are listed."""


class Workspace:
    """A folder of its own, gone after `remove()`. `uid`: who owns the files in it; None: this process's user."""

    def __init__(self, uid: int | None = None) -> None:
        # The folder above is closed to everybody else: on the way out there is only this process.
        self._outer = Path(tempfile.mkdtemp(prefix="nemo_gym_sandbox_"))
        self._outer.chmod(0o711 if uid is not None else 0o700)
        self.path = self._outer / "work"
        self.path.mkdir(mode=0o700)
        self.uid = uid
        if uid is not None:
            os.chown(self.path, uid, uid)

    def write(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a file, its folders included. Raises `SandboxError` where a link or a folder is in the way."""
        parts = _parts(path)
        with self._folder(parts[:-1], make=True) as folder, _refusals(path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.open(parts[-1], flags, mode, dir_fd=folder)
            with os.fdopen(file, "wb") as out:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise SandboxError(f"{path}: is no ordinary file")
                if self.uid is not None:
                    os.fchown(file, self.uid, self.uid)
                os.fchmod(file, mode)
                out.write(content)

    def read(self, path: str, *, max_bytes: int = MAX_READ_BYTES) -> bytes:
        """An ordinary file's content. Raises `SandboxError` for links, devices, and what is longer than `max_bytes`."""
        parts = _parts(path)
        with self._folder(parts[:-1]) as folder, _refusals(path):
            file = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            with os.fdopen(file, "rb") as source:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise SandboxError(f"{path}: is no ordinary file")
                content = source.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise SandboxError(f"{path}: is longer than {max_bytes} bytes")
        return content

    def files(self, *, max_files: int = 20_000) -> list[str]:
        """Paths of the ordinary files, sorted; links are left out. Raises `SandboxError` where there are too many."""
        found: list[str] = []
        for folder, folders, names, handle in os.fwalk(self.path, follow_symlinks=False):
            if len(Path(folder).parts) - len(self.path.parts) >= MAX_DEPTH:
                folders.clear()
            for name in names:
                if stat.S_ISREG(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode):
                    found.append(str(Path(folder, name).relative_to(self.path)))
            if len(found) > max_files:
                raise SandboxError(f"the sandbox holds more than {max_files} files")
        return sorted(found)

    def remove(self) -> None:
        """Delete everything, however deep or closed it is."""
        try:
            shutil.rmtree(self._outer)
        except (OSError, RecursionError):
            subprocess.run(["chmod", "-R", "u+rwX", str(self._outer)], capture_output=True, check=False)
            subprocess.run(["rm", "-rf", "--one-file-system", str(self._outer)], capture_output=True, check=False)

    @contextmanager
    def _folder(self, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
        """An open handle of a folder, entered step by step, through no link."""
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                with _refusals("/".join(parts)):
                    if make:
                        try:
                            os.mkdir(part, 0o755, dir_fd=handle)
                            if self.uid is not None:
                                os.chown(part, self.uid, self.uid, dir_fd=handle, follow_symlinks=False)
                        except FileExistsError:
                            pass
                    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                    inner = os.open(part, flags, dir_fd=handle)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)


def _parts(path: str) -> tuple[str, ...]:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in path:
        raise SandboxError(f"{path!r:.200}: paths in a sandbox are relative and stay inside it")
    return pure.parts


@contextmanager
def _refusals(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SandboxError(f"{path:.200}: {error.strerror}") from error
