"""docker: commands in containers, for tasks that bring an image of their own. Needs an engine that answers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from nemo_gym.errors import SandboxError
from nemo_gym.sandbox.bubblewrap import program
from nemo_gym.sandbox.limits import SandboxLimits
from nemo_gym.sandbox.sandbox import WORK, Sandbox
from nemo_gym.sandbox.workspace import Workspace

DEFAULT_IMAGE = "python:3.11-slim"
_NO_ENGINE = 125
"""Exit code of `docker run` where the engine, not the command, failed."""


class DockerSandbox(Sandbox):
    """One container per command over the same working folder; no network, no rights, a read-only root."""

    secure: ClassVar[bool] = True

    def __init__(self, limits: SandboxLimits, read_only: Sequence[Path] = (), image: str = DEFAULT_IMAGE) -> None:
        self._image, self._read_only = image, list(read_only)
        super().__init__(limits, Workspace())

    def command_line(self, argv: Sequence[str], env: Mapping[str, str]) -> tuple[list[str], tuple[int, ...]]:
        limits = self.limits
        line = [program("docker"), "run", "--rm", "--interactive", "--init", "--network=none", "--read-only"]
        line += ["--cap-drop=ALL", "--security-opt=no-new-privileges", f"--pids-limit={limits.max_processes}"]
        line += [f"--memory={limits.memory_bytes}", f"--memory-swap={limits.memory_bytes}"]
        line += [f"--ulimit=fsize={limits.file_bytes}", f"--ulimit=cpu={limits.cpu_s}", "--ulimit=core=0"]
        line += [f"--tmpfs=/tmp:rw,size={limits.disk_bytes},mode=1777", f"--user={os.getuid()}:{os.getgid()}"]
        line += [f"--volume={self.workspace.path}:{WORK}", f"--workdir={WORK}"]
        line += [f"--volume={folder}:{folder}:ro" for folder in self._read_only]
        line += [f"--env={name}={value}" for name, value in {"HOME": WORK, "LANG": "C.UTF-8", **env}.items()]
        return [*line, self._image, *argv], ()

    def check_start(self, exit_code: int, stderr: bytes) -> None:
        if exit_code == _NO_ENGINE:
            raise SandboxError(f"docker cannot run a container: {stderr.decode(errors='replace').strip()[:500]}")

    def host_env(self, env: Mapping[str, str]) -> dict[str, str]:
        of_client = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "HOME")
        return {"PATH": os.defpath, **{name: os.environ[name] for name in of_client if name in os.environ}}
