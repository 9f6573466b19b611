"""A case: something that breaks, what is to become of the rollouts that meet it, and how long that may take."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nemo_gym.schemas.rollout import FAILURE, FAILURE_CLASS, FailureClass
from tests.faults.collecting import Collecting, Outcome, Row, row
from tests.faults.gym import FaultyGym

MOST_LINES = 10
COMMAND_S = 6.0
"""What starting, summing up and ending a command may take beside what it waits for, on a busy machine."""
SLACK_S = 3.0
"""What a busy machine may add to a rollout's time."""
HEALTHY_ROWS, BROKEN_ROWS = 6, 2


@dataclass(frozen=True)
class Fault:
    """Something that some rows of a collection meet, while the others meet nothing bad."""

    name: str
    fails_as: FailureClass | None
    """None: the rollouts complete all the same."""
    within_s: float
    """So soon each of these rollouts has ended, by the deadlines of the servers."""
    says: tuple[str, ...] = ()
    """What the user must be told."""
    fault: str = "nothing"
    """What the endpoint does."""
    verifier: str = "well"
    """What `verify()` does."""
    agent: str = "faulty_agent"
    most_calls: int | None = None
    """Requests to the endpoint for each rollout at most. 1: what may have been processed is never sent again."""
    only_long: bool = False
    """Whether the others suffer with it, so that it needs a collection of its own."""

    @property
    def deadline_s(self) -> float:
        return self.within_s * 1.05 + COMMAND_S

    def rows(self, first: int, count: int = BROKEN_ROWS) -> list[Row]:
        """Rows that meet it, numbered from `first`."""
        return [row(first + n, self.fault, agent=self.agent, verifier=self.verifier) for n in range(count)]

    def problems(self, outcome: Outcome, gym: FaultyGym, numbers: Mapping[int, int]) -> list[str]:
        """What is not as promised. `numbers`: of each row that met it, by its task index."""
        found = []
        for task, number in numbers.items():
            failure = outcome.failures.get(task)
            become = failure[FAILURE_CLASS] if failure else "a result" if task in outcome.done else "nothing"
            if become != (self.fails_as or "a result"):
                found.append(f"task {task} became {become}")
            took_s = outcome.took_s.get(task, 0.0)
            if took_s > self.within_s * 1.05 + SLACK_S:
                found.append(f"task {task} took {took_s:.1f} s of {self.within_s:g} s")
            calls = gym.endpoint.calls[f"{self.fault} row={number}"]
            if self.most_calls is not None and calls > self.most_calls:
                found.append(f"task {task} called the endpoint {calls} times")
            told = str(failure[FAILURE]["message"]) if failure else ""
            if failure and (missing := [words for words in self.says if words not in told]):
                found.append(f"task {task} does not tell {missing}: {told[:500]}")
        return found


@dataclass(frozen=True)
class Scene:
    """What a drill is given."""

    gym: FaultyGym
    folder: Path
    """Empty."""
    rng: random.Random
    is_long: bool

    def collecting(self, rows: Iterable[Row], *arguments: str, **options: object) -> Collecting:
        return Collecting(self.gym, self.folder, rows, *arguments, **options)  # type: ignore[arg-type]


@dataclass(frozen=True)
class OwnGym:
    """A gym of which nothing may be left afterwards, or that is started in another way."""

    environment: Callable[[Path], Mapping[str, str]] = lambda home: {}
    """Environment variables of `ng_run`, which may refer to files that are written into its folder."""


@dataclass(frozen=True)
class Drill:
    """Something done to the processes, files or clocks of a collection while it runs."""

    name: str
    play: Callable[[Scene], Outcome]
    """Returns what came of the (last) collection; what is wrong beside goes into its problems."""
    deadline_s: float
    long_deadline_s: float | None = None
    """Where the long form does it more often."""
    may_fail_as: frozenset[FailureClass] = frozenset()
    says: tuple[str, ...] = ()
    exit_code: int = 0
    leaves_not_run: bool = False
    only_long: bool = False
    own_gym: OwnGym | None = None
    """None: it is played in the gym that all cases share."""


@dataclass(frozen=True)
class Report:
    """A line of the table."""

    name: str
    outcome: Outcome
    ended_s: float
    """After so long: the slowest of the rollouts that met a fault; of a drill, its commands altogether."""
    deadline_s: float
    problems: list[str] = field(default_factory=list)
    calls: int | None = None
    """Requests to the endpoint for each rollout that met the fault."""


def play_fault(fault: Fault, gym: FaultyGym, folder: Path, first: int) -> Report:
    """Rows that meet the fault between rows that do not, numbered from `first` on at the endpoint."""
    rows = [row(first + n) for n in range(HEALTHY_ROWS)]
    rows[2:2] = fault.rows(first + HEALTHY_ROWS)
    outcome = Collecting(gym, folder, rows, "+num_samples_in_parallel=16").end(fault.deadline_s + COMMAND_S)
    broken = {2 + n: first + HEALTHY_ROWS + n for n in range(BROKEN_ROWS)}
    problems = fault.problems(outcome, gym, broken)
    problems += [f"the healthy task {n} has no result" for n in range(len(rows)) if n not in {*broken, *outcome.done}]
    problems += common_problems(outcome, gym, fault.deadline_s)
    calls = max(gym.endpoint.calls[f"{fault.fault} row={number}"] for number in broken.values())
    slowest_s = max(outcome.took_s.get(task, 0.0) for task in broken)
    return Report(fault.name, outcome, slowest_s, fault.within_s, problems, calls)


def play_drill(drill: Drill, scene: Scene) -> Report:
    deadline_s = drill.long_deadline_s if scene.is_long and drill.long_deadline_s else drill.deadline_s
    outcome = drill.play(scene)
    problems = []
    for kind in outcome.failed.keys() - drill.may_fail_as:
        problems.append(f"{outcome.failed[kind]} rollouts failed as {kind}")
    if outcome.not_run and not drill.leaves_not_run:
        problems.append(f"{outcome.not_run} rollouts were not run")
    if outcome.exit_code != drill.exit_code:
        problems.append(f"exit code {outcome.exit_code} instead of {drill.exit_code}")
    problems += [f"does not tell {words!r}" for words in drill.says if words not in outcome.output]
    problems += common_problems(outcome, scene.gym, deadline_s)
    return Report(drill.name, outcome, outcome.seconds, deadline_s, problems)


def common_problems(outcome: Outcome, gym: FaultyGym, deadline_s: float) -> list[str]:
    """What must not happen in any case. Adds processes that the servers left behind to the outcome."""
    outcome.orphans += gym.strays()
    problems = list(outcome.problems)
    problems += [f"left behind: {each}" for each in outcome.orphans]
    if outcome.seconds > deadline_s:
        problems.append(f"took {outcome.seconds:.1f} s of {deadline_s:.1f} s")
    if len(outcome.message) > MOST_LINES:
        problems.append(f"{len(outcome.message)} lines of message")
    if outcome.not_run < 0:
        problems.append("more rollouts are counted than were asked for")
    return problems
