"""Opens a sandbox: which backend, and whether it works on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from nemo_gym.config.nearest import suggestion
from nemo_gym.errors import SandboxError
from nemo_gym.sandbox.bubblewrap import BubblewrapSandbox
from nemo_gym.sandbox.docker import DEFAULT_IMAGE, DockerSandbox
from nemo_gym.sandbox.limits import SandboxLimits
from nemo_gym.sandbox.plain import PlainSandbox
from nemo_gym.sandbox.sandbox import Sandbox

BACKENDS = ("auto", "bubblewrap", "docker", "subprocess_not_secure")
"""`auto` is bubblewrap; never, silently, the one that is not secure."""
PROBE_TIMEOUT_S = 20.0

_working: set[str] = set()
"""Backends that were seen to work in this process."""


def make_sandbox(
    backend: str = "auto",
    limits: SandboxLimits | None = None,
    *,
    read_only: Sequence[Path] = (),
    image: str | None = None,
) -> Sandbox:
    """A sandbox that the caller closes. Raises `SandboxError` for an unknown backend, or one that is not installed."""
    limits = limits or SandboxLimits()
    if backend in ("auto", "bubblewrap"):
        return BubblewrapSandbox(limits, read_only)
    if backend == "subprocess_not_secure":
        return PlainSandbox(limits, read_only)
    if backend == "docker":
        return DockerSandbox(limits, read_only, image or DEFAULT_IMAGE)
    raise SandboxError(f"no sandbox backend `{backend}`: {suggestion(backend, BACKENDS, kind='backends')}")


@asynccontextmanager
async def open_sandbox(
    backend: str = "auto",
    limits: SandboxLimits | None = None,
    *,
    files: Mapping[str, bytes | str] | None = None,
    read_only: Sequence[Path] = (),
    image: str | None = None,
) -> AsyncIterator[Sandbox]:
    """A sandbox with these files in its working folder, closed at the end of the block."""
    sandbox = make_sandbox(backend, limits, read_only=read_only, image=image)
    try:
        await sandbox.write_files(files or {})
        yield sandbox
    finally:
        await asyncio.shield(asyncio.ensure_future(sandbox.close()))


async def require_backend(backend: str = "auto") -> None:
    """Raises `SandboxError`, saying what to do, where the backend does not work on this machine. Asked once."""
    if backend in _working:
        return
    try:
        async with open_sandbox(backend) as sandbox:
            done = await sandbox.run(["true"], timeout_s=PROBE_TIMEOUT_S)
        if not done.ok:
            told = done.stderr.decode(errors="replace").strip()[:300]
            raise SandboxError(f"a first command ended with exit code {done.exit_code}: {told}")
    except SandboxError as error:
        hint = "" if backend == "docker" else "; for code that you trust there is `subprocess_not_secure`"
        raise SandboxError(f"the sandbox backend `{backend}` does not work here: {error}{hint}") from error
    _working.add(backend)
