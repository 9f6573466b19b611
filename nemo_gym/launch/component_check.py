"""Checking a component as its server would run: the environment checker and its own tests, in its own environment."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from nemo_gym.config.component import Component
from nemo_gym.errors import LaunchError
from nemo_gym.launch.environments import python_for
from nemo_gym.launch.guard import Guard
from nemo_gym.launch.guardian import RUN_VARIABLE
from nemo_gym.serving.spec import ServerSpec

_NO_TESTS = 5
"""Exit code of pytest where it finds no test."""


@dataclass(frozen=True)
class ComponentReport:
    """How a component did."""

    component: Component
    checker_passed: bool | None
    """None: it is no resources server, so there is no such check."""
    tests_passed: bool | None
    """None: it has no tests."""

    @property
    def passed(self) -> bool:
        return self.checker_passed is not False and self.tests_passed is not False

    def __str__(self) -> str:
        words = {True: "passed", False: "failed", None: "none"}
        checker = "" if self.checker_passed is None else f"checker {words[self.checker_passed]}, "
        return f"{self.component.path}: {checker}tests {words[self.tests_passed]}"


async def check_component(
    component: Component, notify: Callable[[str], None], *, pytest_args: Sequence[str] = ()
) -> ComponentReport:
    """Run the checker on a resources server, then pytest on any component, each as a process that prints by itself.

    They run as the server does: with the interpreter that its `requirements.txt` asks for (made if needed, which
    `notify` tells), in its folder, with `resources_servers` and its siblings importable. Nothing that they start
    outlives this call, nor this process. Raises `LaunchError` where that interpreter or pytest is missing.
    """
    if importlib.util.find_spec("pytest") is None:
        raise LaunchError("pytest is not installed: `pip install 'nemo-gym[dev]'`")
    run_id = f"check_{secrets.token_hex(8)}"
    python = await python_for(_spec(component, run_id), notify)
    guard = await Guard.start(run_id)
    try:
        checker = None
        if component.server_type == "resources_servers":
            checker = await _run(
                component, [python, "-m", "nemo_gym.env_checker", str(component.folder)], guard, run_id
            )
        tests = await _run(component, [python, *_pytest(component), *pytest_args], guard, run_id)
    finally:
        await guard.close()
    return ComponentReport(
        component,
        checker_passed=None if checker is None else checker == 0,
        tests_passed=None if tests == _NO_TESTS else tests == 0,
    )


def _pytest(component: Component) -> list[str]:
    folder = component.folder
    tests = folder / "tests"
    command = ["-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", str(tests if tests.is_dir() else folder)]
    # Without a project file above it, as in an installed package, pytest would look for fixtures in that folder only.
    command.append(f"--confcutdir={component.root}")
    has_asyncio = importlib.util.find_spec("pytest_asyncio") is not None
    settings = ("asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function")
    return [*command, *(f"--override-ini={each}" for each in settings)] if has_asyncio else command


async def _run(component: Component, command: list[str], guard: Guard, run_id: str) -> int:
    """Exit code of a command, whose process group is gone when this returns."""
    python_path = os.pathsep.join(filter(None, [str(component.root), os.environ.get("PYTHONPATH")]))
    sys.stdout.flush()
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=component.folder,
        env={**os.environ, "PYTHONPATH": python_path, RUN_VARIABLE: run_id},
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    guard.add(process.pid)
    try:
        return await process.wait()
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        guard.remove(process.pid)


def _spec(component: Component, run_id: str) -> ServerSpec:
    """As much of a server as the choice of its interpreter needs."""
    return ServerSpec(
        name=component.path,
        server_type=component.server_type,
        implementation=component.implementation,
        folder=str(component.folder),
        entrypoint="app.py",
        settings={},
        source="",
        directory={},
        run_id=run_id,
        session_secret="",
    )
