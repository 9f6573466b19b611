"""Runs a repository's hidden tests on changed files, in a fresh sandbox, apart from the code that they test."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from nemo_gym.errors import SandboxError
from nemo_gym.sandbox import SandboxLimits, open_sandbox

ROOM = "resources_servers.mini_swe.hidden_tests"
NOT_COMPLETED = "the tests could not be run to their end"


@dataclass(frozen=True)
class HiddenTests:
    """Tests that a policy never sees."""

    sources: Mapping[str, str]
    """`test_x.py` → its text: ordinary `unittest` cases."""
    fail_to_pass: Sequence[str]
    """`test_x.Case.test_name` of those that the bug breaks."""
    pass_to_pass: Sequence[str] = ()
    """Those that passed before, and must still pass."""

    @property
    def names(self) -> list[str]:
        return [*self.fail_to_pass, *self.pass_to_pass]


@dataclass(frozen=True)
class Verdict:
    """What the hidden tests say of a solution."""

    failed: Mapping[str, str]
    """By test that does not pass: what is wrong."""
    fail_to_pass_share: float
    pass_to_pass_share: float

    @property
    def resolved(self) -> bool:
        return not self.failed

    @property
    def share(self) -> float:
        """Share of broken tests that pass now, times the share of the others that still do; unchanged code gets 0."""
        return self.fail_to_pass_share * self.pass_to_pass_share


def verdict_of(outcome: Mapping[str, str | None], tests: HiddenTests) -> Verdict:
    """`outcome`: None by test that passed, else what is wrong; a test that is not in it did not pass."""
    failed = {name: wrong for name in tests.names if (wrong := outcome.get(name, NOT_COMPLETED)) is not None}

    def share(names: Sequence[str]) -> float:
        return sum(name not in failed for name in names) / len(names) if names else 1.0

    return Verdict(failed, share(tests.fail_to_pass), share(tests.pass_to_pass))


async def run_hidden_tests(
    files: Mapping[str, str], pristine: Mapping[str, str], tests: HiddenTests, *, backend: str, test_timeout_s: float
) -> Verdict:
    """Verdict on `files`, the repository with a solution in it; `pristine` is the repository as it was.

    Raises `SandboxError` where the tests cannot be run here at all. Whoever changes the repository can make the run
    break off, so that alone is no such failure: it is one if the run breaks off on the pristine repository, too.
    """
    outcome = await _run(files, pristine, tests, backend=backend, test_timeout_s=test_timeout_s)
    if (
        outcome is None
        and await _run(pristine, pristine, tests, backend=backend, test_timeout_s=test_timeout_s) is None
    ):
        raise SandboxError("the hidden tests cannot be run here, not even on the repository without changes")
    return verdict_of(outcome or {}, tests)


async def _run(
    files: Mapping[str, str], pristine: Mapping[str, str], tests: HiddenTests, *, backend: str, test_timeout_s: float
) -> dict[str, str | None] | None:
    """Outcome by test; None where none was given."""
    token = secrets.token_hex(16)
    order = {
        "token": token,
        "tests": dict(tests.sources),
        "names": tests.names,
        "packages": package_names(pristine),
        "package_process": _program("wire", "package_process"),
        "test_timeout_s": test_timeout_s,
    }
    limits = SandboxLimits(timeout_s=20.0 + test_timeout_s * len(tests.names), cpu_s=600)
    async with open_sandbox(backend, limits, files=files) as sandbox:
        command = ["python3", "-I", "-S", "-B", "-c", _program("wire", "remote", "runner", argument=_READ_ORDER)]
        result = await sandbox.run(command, stdin=json.dumps(order).encode())
    for line in result.stdout.splitlines():
        outcome = _outcome(line, token)
        if outcome is not None:
            return outcome
    return None


def package_names(files: Mapping[str, str]) -> list[str]:
    """Top-level modules and packages of a repository: what its tests import from it."""
    names = {PurePosixPath(path).parts[0].removesuffix(".py") for path in files if path.endswith(".py")}
    return sorted(names - {"tests", "setup", "conftest"})


def _outcome(line: bytes, token: str) -> dict[str, str | None] | None:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or told.get("token") != token:
        return None
    return {str(name): None if wrong is None else str(wrong) for name, wrong in told["verdict"].items()}


_READ_ORDER = "__import__('json').load(sys.stdin)"


@cache
def _program(*modules: str, argument: str = "") -> str:
    """A Python program that holds these modules of `hidden_tests/` and calls `main` of the last one.

    Nothing of this project lies in the sandbox, where a repository could not find it and need not.
    """
    folder = Path(__file__).parent / "hidden_tests"
    sources = {f"{ROOM}.{name}": (folder / f"{name}.py").read_text(encoding="utf-8") for name in modules}
    return (
        "import sys, types\n"
        f"for name, source in {sources!r}.items():\n"
        "    module = sys.modules[name] = types.ModuleType(name)\n"
        "    exec(compile(source, '<' + name + '>', 'exec'), module.__dict__)\n"
        f"module.main({argument})\n"
    )
