"""mini_swe: repair a small repository with bash commands; reward 1.0 when all hidden tests pass."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from pydantic import Field, PrivateAttr, field_validator

from nemo_gym.environments import EnvironmentConfig, EnvironmentServer
from nemo_gym.errors import SandboxError
from nemo_gym.sandbox import BACKENDS, SandboxLimits, require_backend
from nemo_gym.schemas.episode import ReverifyMode
from resources_servers.mini_swe.environment import EpisodeRules, MiniSwe, Workplace
from resources_servers.mini_swe.image import ImageWorkplace
from resources_servers.mini_swe.repository import RepositoryWorkplace
from resources_servers.mini_swe.rows import MiniSweRow
from resources_servers.mini_swe.verdicts import Verdicts
from resources_servers.mini_swe.verifier import HiddenTests

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
        rules = EpisodeRules(
            max_turns=self.max_turns(row, DEFAULT_MAX_TURNS),
            max_format_errors=config.max_format_errors,
            command_timeout_s=config.command_timeout_s,
            episode_timeout_s=config.episode_timeout_s,
            submit_marker=config.submit_marker,
            score_unsubmitted=config.score_unsubmitted,
            partial_reward=config.partial_reward,
        )
        return MiniSwe(self._workplace(row), rules, self._slots)

    def _workplace(self, row: MiniSweRow) -> Workplace:
        config = self.config
        tests = HiddenTests(row.hidden_tests, row.FAIL_TO_PASS, row.PASS_TO_PASS)
        limits = SandboxLimits(
            timeout_s=config.command_timeout_s, memory_bytes=config.memory_bytes, output_bytes=config.output_bytes
        )
        if row.image:
            return ImageWorkplace(
                row.image, row.repository_folder, tests, row.test_patch, row.test_command, commands=limits
            )
        return RepositoryWorkplace(row.files, tests, self._verdicts, backend=config.sandbox, limits=limits)

    def model_post_init(self, context: object) -> None:
        super().model_post_init(context)
        config = self.config
        self._slots = asyncio.Semaphore(config.parallel_sandboxes)
        self._verdicts = Verdicts(config.sandbox, config.test_timeout_s, config.remember_verdicts)


if __name__ == "__main__":
    MiniSweServer.run_webserver()
