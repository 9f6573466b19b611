"""subprocess_not_secure: ordinary processes with limits. No security boundary: for code that one trusts."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from nemo_gym.sandbox.limits import SandboxLimits
from nemo_gym.sandbox.sandbox import Sandbox
from nemo_gym.sandbox.workspace import Workspace

_LIMIT_AND_RUN = """
import os, resource, sys
for name, value in (part.split("=") for part in sys.argv[1].split(",")):
    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    value = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
    resource.setrlimit(kind, (value, value))
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    print(f"{sys.argv[2]}: {error.strerror}", file=sys.stderr)
    sys.exit(127)
"""


class PlainSandbox(Sandbox):
    """Commands see this machine's files and network, and what they leave behind in other process groups goes on."""

    secure: ClassVar[bool] = False

    def __init__(self, limits: SandboxLimits, read_only: Sequence[Path] = ()) -> None:
        super().__init__(limits, Workspace())

    def command_line(self, argv: Sequence[str], env: Mapping[str, str]) -> tuple[list[str], tuple[int, ...]]:
        limits = self.limits
        values = {
            "RLIMIT_AS": limits.memory_bytes,
            "RLIMIT_FSIZE": limits.file_bytes,
            "RLIMIT_CPU": limits.cpu_s,
            "RLIMIT_CORE": 0,
        }
        text = ",".join(f"{name}={value}" for name, value in values.items())
        return [sys.executable, "-I", "-S", "-c", _LIMIT_AND_RUN, text, *argv], ()

    def host_env(self, env: Mapping[str, str]) -> dict[str, str]:
        folders = [f"{sys.base_prefix}/bin", os.defpath]
        own = {"PATH": os.pathsep.join(folders), "HOME": str(self.workspace.path), "LANG": "C.UTF-8"}
        return {**own, **env}
