"""Whether the sandbox of these tests works on this machine."""

from __future__ import annotations

import asyncio

import pytest

from nemo_gym.errors import SandboxError
from nemo_gym.sandbox import require_backend


def problem(backend: str = "auto") -> str:
    """Why the backend does not work here; `""` where it does."""
    try:
        asyncio.run(require_backend(backend))
    except SandboxError as error:
        return str(error)
    return ""


PROBLEM = problem()
needs_sandbox = pytest.mark.skipif(bool(PROBLEM), reason=PROBLEM)
