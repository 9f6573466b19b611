"""The workplace of a task with an image of its own: a copy of the image's repository, in containers of that image."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from nemo_gym.errors import SandboxError
from nemo_gym.sandbox import CommandResult, SandboxLimits, require_backend
from nemo_gym.sandbox.docker import DockerSandbox
from nemo_gym.sandbox.sandbox import WORK
from resources_servers.mini_swe.verifier import HiddenTests, Verdict, verdict_of
from resources_servers.mini_swe.work_tree import WorkTreeError

SETUP = "source /opt/miniconda3/bin/activate testbed 2>/dev/null || true"
"""How SWE-bench's images make the instance's Python the one that is found."""
GIT = "git -c safe.directory='*' -c core.fileMode=false"
PATCH_FILE = ".git/solution.patch"
MAX_PATCH_BYTES = 1_000_000
MAX_TEST_OUTPUT_BYTES = 20_000_000
LIMITS = SandboxLimits(
    timeout_s=1800.0,
    cpu_s=7200,
    max_processes=512,
    file_bytes=1_000_000_000,
    disk_bytes=4_000_000_000,
    max_files=400_000,
)
"""Of copying and testing: repositories with an image are large."""
_CHANGED = re.compile(r"^\+\+\+ b/(.+)$", re.MULTILINE)
_PYTEST_LINE = re.compile(r"^(PASSED|FAILED|ERROR|XFAIL|XPASS|SKIPPED) (\S.*?)(?: - .*)?$", re.MULTILINE)
_UNITTEST_LINE = re.compile(r"^(\S+ \([\w.]+\)) \.\.\. (ok|FAIL|ERROR)$", re.MULTILINE)


class ImageSandbox(DockerSandbox):
    """Mounts its working folder where the image has the repository."""

    mounted_at = WORK

    def command_line(self, argv: Sequence[str], env: Mapping[str, str]) -> tuple[list[str], tuple[int, ...]]:
        line, handles = super().command_line(argv, env)
        here = {
            f"--volume={self.workspace.path}:{WORK}": f"--volume={self.workspace.path}:{self.mounted_at}",
            f"--workdir={WORK}": f"--workdir={self.mounted_at}",
        }
        return [here.get(part, part) for part in line], handles


class ImageWorkplace:
    """Needs an engine that answers. The tests run beside the code that they test, which could tamper with them."""

    def __init__(
        self,
        image: str,
        folder: str,
        tests: HiddenTests,
        test_patch: str,
        test_command: str,
        *,
        commands: SandboxLimits,
    ) -> None:
        """`commands`: limits of the policy's commands."""
        self._image, self._folder, self._tests, self._commands = image, folder, tests, commands
        self._test_patch = test_patch
        self._test_command = test_command or pytest_command(test_patch)
        self._sandbox: ImageSandbox | None = None
        self._base = ""
        self._patch = ""
        self._open = AsyncExitStack()

    async def run(self, command: str, timeout_s: float) -> CommandResult:
        if self._sandbox is None:
            opened, self._base = await self._open.enter_async_context(self._copy(self._commands.output_bytes))
            self._sandbox = opened
        return await self._sandbox.run(f"{SETUP}\n{command}", timeout_s=timeout_s, merge_stderr=True)

    async def patch(self) -> str:
        if self._sandbox is None:
            return ""
        script = f"{GIT} add -A && {GIT} diff --cached --binary {self._base} > {PATCH_FILE}"
        done = await self._sandbox.run(script)
        if not done.ok:
            raise WorkTreeError(f"git cannot tell what was changed: {done.stderr.decode(errors='replace')[:300]}")
        try:
            self._patch = (await self._sandbox.read_file(PATCH_FILE, max_bytes=MAX_PATCH_BYTES)).decode()
        except (SandboxError, UnicodeDecodeError) as error:
            raise WorkTreeError(str(error)) from error
        return self._patch

    async def judge(self) -> Verdict:
        async with self._copy(MAX_TEST_OUTPUT_BYTES) as (sandbox, base):
            if not await _applied(sandbox, self._patch):
                return verdict_of({}, self._tests)
            # Whatever a policy did to the files of the hidden tests: they are as they were, then as they shall be.
            for path in map(shlex.quote, _CHANGED.findall(self._test_patch)):
                await sandbox.run(f"{GIT} checkout {base} -- {path} || rm -rf {path}")
            if not await _applied(sandbox, self._test_patch):
                raise SandboxError(f"{self._image}: `test_patch` does not fit the repository")
            done = await sandbox.run(f"{SETUP}\n{self._test_command}", merge_stderr=True)
        return verdict_of(outcome_of(done.text), self._tests)

    async def close(self) -> None:
        self._sandbox = None
        await self._open.aclose()

    @asynccontextmanager
    async def _copy(self, output_bytes: int) -> AsyncIterator[tuple[ImageSandbox, str]]:
        """A sandbox over a copy of the image's repository, and the commit that it is at. Raises `SandboxError`."""
        await require_backend("docker")
        limits = replace(LIMITS, memory_bytes=self._commands.memory_bytes, output_bytes=output_bytes)
        sandbox = ImageSandbox(limits, image=self._image)
        try:
            copied = await sandbox.run(f"cp -a {shlex.quote(self._folder)}/. {WORK}/")
            sandbox.mounted_at = self._folder
            at = await sandbox.run(f"{GIT} rev-parse HEAD")
            if not copied.ok or not at.ok:
                told = (copied.stderr + at.stderr).decode(errors="replace").strip()[:300]
                raise SandboxError(f"{self._image}: {self._folder} is no git repository that can be copied: {told}")
            yield sandbox, at.text.strip()
        finally:
            await sandbox.close()


async def _applied(sandbox: ImageSandbox, patch: str) -> bool:
    if not patch:
        return True
    await sandbox.write_file(PATCH_FILE, patch)
    return (await sandbox.run(f"{GIT} apply --whitespace=nowarn {PATCH_FILE}")).ok


def pytest_command(test_patch: str) -> str:
    """pytest on the test files that a patch changes."""
    files = [path for path in _CHANGED.findall(test_patch) if path.endswith(".py")]
    return f"python -m pytest -rA -p no:cacheprovider {' '.join(map(shlex.quote, files))}"


def outcome_of(text: str) -> dict[str, str | None]:
    """By test, from what pytest (`-rA`) or unittest (`-v`) print: None where it passed, else the word for it."""
    told = [(name, word) for word, name in _PYTEST_LINE.findall(text)] + _UNITTEST_LINE.findall(text)
    return {name: None if word in ("PASSED", "XFAIL", "ok") else word for name, word in told}
