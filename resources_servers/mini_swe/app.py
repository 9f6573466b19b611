"""mini_swe: repair a small repository with bash commands; reward 1.0 when all hidden tests pass."""

from __future__ import annotations

import asyncio
import sys
from pathlib import PurePosixPath
from typing import ClassVar, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from nemo_gym.environments import EnvironmentConfig, EnvironmentServer
from nemo_gym.errors import SandboxError
from nemo_gym.sandbox import BACKENDS, SandboxLimits, require_backend
from nemo_gym.schemas.episode import BaseRunRequest, ReverifyMode
from resources_servers.mini_swe.environment import EpisodeRules, MiniSwe
from resources_servers.mini_swe.repository import RepositoryWorkplace
from resources_servers.mini_swe.verdicts import Verdicts
from resources_servers.mini_swe.verifier import HiddenTests, package_names

DEFAULT_MAX_TURNS = 30


class MiniSweConfig(EnvironmentConfig):
    sandbox: str = "auto"
    """`auto` (bubblewrap), `bubblewrap`, `docker`, or `subprocess_not_secure` for code that you trust."""
    submit_marker: str = Field(default="SUBMIT_SOLUTION", min_length=1)
    """A command whose first line of output is this ends the episode. Prompts have to name it."""
    command_timeout_s: float = Field(default=10.0, gt=0)
    episode_timeout_s: float = Field(default=1800.0, gt=0)
    """After so many seconds the turn that ends is the last."""
    test_timeout_s: float = Field(default=5.0, gt=0)
    """Seconds for one hidden test; over them, it fails."""
    output_bytes: int = Field(default=10_000, ge=100)
    """Output of a command that the policy sees: the first and the last half."""
    memory_bytes: int = Field(default=1_000_000_000, gt=0)
    max_format_errors: int = Field(default=3, ge=1)
    """So many turns in a row without a command end the episode."""
    score_unsubmitted: bool = True
    """Whether an episode that ends without a submission is scored by what was changed; else it earns 0."""
    remember_verdicts: int = Field(default=1024, ge=0)
    """Solutions whose verdict is kept, so that the same one need not be tried again."""
    partial_reward: bool = False
    """Whether an unresolved task earns the share of repaired tests, times the share of tests still passing."""
    parallel_sandboxes: int = Field(default=16, ge=1)
    """Commands and test runs at a time; others wait, which no time limit of theirs counts."""

    @field_validator("sandbox")
    @classmethod
    def _is_a_backend(cls, name: str) -> str:
        if name not in BACKENDS:
            raise ValueError(f"`{name}` is none of {', '.join(BACKENDS)}")
        return name


class MiniSweRow(BaseRunRequest):
    instance_id: str = ""
    files: dict[str, str] = Field(min_length=1)
    """The repository, bug included: text by path."""
    hidden_tests: dict[str, str] = Field(min_length=1)
    """`test_x.py` → `unittest` cases, which import the repository's packages. Never shown to the policy."""
    FAIL_TO_PASS: list[str] = Field(min_length=1)
    """Tests that the bug breaks: `test_x.Case.test_name`."""
    PASS_TO_PASS: list[str] = Field(default_factory=list)
    max_turns: int | None = Field(default=None, ge=1)

    @field_validator("files", "hidden_tests")
    @classmethod
    def _paths_stay_inside(cls, files: dict[str, str]) -> dict[str, str]:
        for path in files:
            pure = PurePosixPath(path)
            if pure.is_absolute() or ".." in pure.parts or str(pure) != path or not path.isprintable():
                raise ValueError(f"{path!r:.100} is no plain relative path")
        return files

    @model_validator(mode="after")
    def _tests_can_run(self) -> Self:
        for name in [*self.FAIL_TO_PASS, *self.PASS_TO_PASS]:
            file, _, rest = name.partition(".")
            if f"{file}.py" not in self.hidden_tests or rest.count(".") != 1:
                raise ValueError(f"{name:.100}: no test of hidden_tests; write `test_x.Case.test_name`")
        if shadowing := set(package_names(self.files)) & set(sys.stdlib_module_names):
            raise ValueError(f"{sorted(shadowing)}: the repository's packages hide modules of Python itself")
        return self


class MiniSweServer(EnvironmentServer):
    config: MiniSweConfig

    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.STATELESS

    _slots: asyncio.Semaphore = PrivateAttr()
    _verdicts: Verdicts = PrivateAttr()

    async def startup(self) -> None:
        """Raises `SandboxError` where no sandbox can be had: never, silently, without one."""
        try:
            await require_backend(self.config.sandbox)
        except SandboxError as error:
            raise SandboxError(f"`{self.config.name}.resources_servers.mini_swe.sandbox`: {error}") from error
        await super().startup()

    async def make_environment(self, row: MiniSweRow) -> MiniSwe:
        config = self.config
        tests = HiddenTests(row.hidden_tests, row.FAIL_TO_PASS, row.PASS_TO_PASS)
        limits = SandboxLimits(
            timeout_s=config.command_timeout_s, memory_bytes=config.memory_bytes, output_bytes=config.output_bytes
        )
        workplace = RepositoryWorkplace(row.files, tests, self._verdicts, backend=config.sandbox, limits=limits)
        rules = EpisodeRules(
            max_turns=self.max_turns(row, DEFAULT_MAX_TURNS),
            max_format_errors=config.max_format_errors,
            command_timeout_s=config.command_timeout_s,
            episode_timeout_s=config.episode_timeout_s,
            submit_marker=config.submit_marker,
            score_unsubmitted=config.score_unsubmitted,
            partial_reward=config.partial_reward,
        )
        return MiniSwe(workplace, rules, self._slots)

    def model_post_init(self, context: object) -> None:
        super().model_post_init(context)
        config = self.config
        self._slots = asyncio.Semaphore(config.parallel_sandboxes)
        self._verdicts = Verdicts(config.sandbox, config.test_timeout_s, config.remember_verdicts)


if __name__ == "__main__":
    MiniSweServer.run_webserver()
