"""One episode of mini_swe: a command a turn in a sandbox, then hidden tests on what was changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from nemo_gym.environments import Environment, StepResult
from nemo_gym.sandbox import CommandResult
from nemo_gym.schemas.responses import Response
from resources_servers.mini_swe.command import FormatError, find_command
from resources_servers.mini_swe.verifier import Verdict
from resources_servers.mini_swe.work_tree import WorkTreeError

FEW_TURNS = 5
"""From so many turns left on, the policy is told how many."""
EXCEEDED = {
    "memory_bytes": "it used too much memory",
    "disk_bytes": "the files grew too large",
    "max_files": "there were too many files",
}


class Outcome(StrEnum):
    """How an episode was scored."""

    RESOLVED = "resolved"
    FAILED_TESTS = "failed_tests"
    UNCHANGED = "unchanged"
    """Nothing was changed: no test was run."""
    UNREADABLE = "unreadable"
    """The work tree is too large to be a solution."""
    NOT_SUBMITTED = "not_submitted"
    """And the configuration scores only what was submitted."""


class Workplace(Protocol):
    """Where one task's commands run, and where its solution is judged."""

    async def run(self, command: str, timeout_s: float) -> CommandResult:
        """Run a bash command; output of both kinds comes as `stdout`, cut to a budget."""

    async def patch(self) -> str:
        """What was changed so far, as a unified diff; `""` for nothing. Raises `WorkTreeError`."""

    async def judge(self) -> Verdict:
        """The hidden tests' verdict on what `patch()` found last, in a fresh sandbox."""

    async def close(self) -> None:
        """Free the sandbox. May be called more than once."""


@dataclass(frozen=True)
class EpisodeRules:
    """Limits of an episode, and what it earns."""

    max_turns: int
    max_format_errors: int
    """So many turns in a row without a command end the episode."""
    command_timeout_s: float
    episode_timeout_s: float
    submit_marker: str
    score_unsubmitted: bool
    partial_reward: bool
    """Whether an unresolved task earns its share of the tests."""


class MiniSwe(Environment):
    def __init__(self, workplace: Workplace, rules: EpisodeRules, slots: asyncio.Semaphore) -> None:
        self._workplace, self._rules, self._slots = workplace, rules, slots
        self._started = time.monotonic()
        self._turns = self._commands = self._format_errors = self._errors_in_a_row = 0
        self._submitted = False
        self._patch = ""
        self._outcome: Outcome | None = None
        self._verdict: Verdict | None = None
        self._reward = 0.0

    async def step(self, response: Response) -> StepResult:
        """Run the turn's command. The last turn, or the one that submits, is where the reward is given."""
        self._turns += 1
        command = find_command(response.output_text)
        if isinstance(command, FormatError):
            self._format_errors += 1
            self._errors_in_a_row += 1
            return await self._go_on(command.text, {"bad_format": True})
        self._commands += 1
        self._errors_in_a_row = 0
        async with self._slots:
            result = await self._workplace.run(command, self._rules.command_timeout_s)
        info = {"bad_format": False, "exit_code": result.exit_code, "exceeded": result.exceeded}
        if result.text.lstrip().partition("\n")[0].strip() == self._rules.submit_marker and result.ok:
            self._submitted = True
            return StepResult(reward=await self._score(), terminated=True, info={**info, "submitted": True})
        return await self._go_on(self._told(result), info)

    async def _go_on(self, text: str, info: dict[str, Any]) -> StepResult:
        left = self._rules.max_turns - self._turns
        late = time.monotonic() - self._started > self._rules.episode_timeout_s
        if left <= 0 or late or self._errors_in_a_row >= self._rules.max_format_errors:
            return StepResult(text, reward=await self._score(), truncated=True, info=info)
        if left <= FEW_TURNS:
            text += f"\n({left} {'turn' if left == 1 else 'turns'} left.)"
        return StepResult(text, info=info)

    def _told(self, result: CommandResult) -> str:
        """What the policy sees of a command: how it ended, then its output."""
        if result.exceeded == "timeout_s":
            ended = f"stopped: it ran longer than {self._rules.command_timeout_s:g} s"
        elif result.exceeded is not None:
            ended = f"stopped: {EXCEEDED.get(result.exceeded, result.exceeded)}"
        else:
            ended = str(result.exit_code)
        output = result.text if not result.text or result.text.endswith("\n") else result.text + "\n"
        return f"<exit_code>{ended}</exit_code>\n<output>\n{output}</output>"

    async def _score(self) -> float:
        """The reward of what lies in the work tree, found once."""
        if self._outcome is None:
            outcome = await self._judge()
            self._reward = self._reward_of(outcome)
            self._outcome = outcome  # only now: a verdict that could not be had is asked for again
            await self._workplace.close()
        return self._reward

    async def _judge(self) -> Outcome:
        if self._commands == 0:
            return Outcome.UNCHANGED
        try:
            self._patch = await self._workplace.patch()
        except WorkTreeError:
            return Outcome.UNREADABLE
        if not self._patch:
            return Outcome.UNCHANGED
        if not (self._submitted or self._rules.score_unsubmitted):
            return Outcome.NOT_SUBMITTED
        async with self._slots:
            self._verdict = await self._workplace.judge()
        return Outcome.RESOLVED if self._verdict.resolved else Outcome.FAILED_TESTS

    def _reward_of(self, outcome: Outcome) -> float:
        if outcome is Outcome.FAILED_TESTS and self._rules.partial_reward and self._verdict is not None:
            return self._verdict.share
        return float(outcome is Outcome.RESOLVED)

    async def final_reward(self) -> float:
        return await self._score()

    def report(self) -> dict[str, Any]:
        verdict = self._verdict
        failed: Mapping[str, str] = verdict.failed if verdict is not None else {}
        return {
            "outcome": None if self._outcome is None else self._outcome.value,
            "resolved": self._outcome is Outcome.RESOLVED,
            "submitted": self._submitted,
            "fail_to_pass_share": 0.0 if verdict is None else verdict.fail_to_pass_share,
            "pass_to_pass_share": None if verdict is None else verdict.pass_to_pass_share,
            "failed_tests": dict(failed),
            "model_patch": self._patch,
            "num_commands": self._commands,
            "num_format_errors": self._format_errors,
        }

    async def close(self) -> None:
        await self._workplace.close()
