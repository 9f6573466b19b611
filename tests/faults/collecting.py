"""A collection under faults: its rows, its command, and what came of it, counted from its files."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from nemo_gym.schemas.rollout import FAILURE_CLASS, ROLLOUT_INDEX, TASK_INDEX, FailureClass
from tests.e2e.documents import environment
from tests.faults.gym import FaultyGym

MARK = "NEMO_GYM_TEST_FAULT"
"""Environment variable by which what a command started is known."""
PATIENCE_S = 120.0
_PROGRESS = re.compile(r"\d+/\d+ · ")
_TABLE_SIGNS = "┏┃┡│└┗┣├"

Row = dict[str, Any]
Key = tuple[int, int]
"""Task index, rollout index."""


def row(number: int, fault: str = "nothing", *, agent: str = "faulty_agent", verifier: str = "well") -> Row:
    """A task row that has the endpoint do that, and `verify()`; each is worth another reward."""
    text = f"fault={fault} row={number}"
    tool = fault.removeprefix("calls_")
    tools = [{"type": "function", "name": tool, "parameters": {"type": "object"}, "strict": False}]
    params = {"input": text, **({"tools": tools} if tool != fault else {})}
    return {
        "responses_create_params": params,
        "worth": round(random.Random(number).uniform(0.1, 1.0), 6),
        "verifier": verifier,
        "agent_ref": {"type": "responses_api_agents", "name": agent},
    }


@dataclass
class Outcome:
    """What a collection came to."""

    exit_code: int
    output: str
    """Of stdout and stderr, as they came."""
    seconds: float
    requested: int = 0
    completed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    failures: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    """By task index."""
    done: set[int] = field(default_factory=set)
    """Task indices of results."""
    took_s: dict[int, float] = field(default_factory=dict)
    """From the begin to the end of a rollout, as its agent tells, by task index."""
    orphans: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What is wrong with the files: a rollout counted twice or not at all, a reward that nobody gave."""

    @property
    def not_run(self) -> int:
        return self.requested - self.completed - self.failed.total()

    @property
    def message(self) -> list[str]:
        """What the user is told: everything but progress and the table of metrics."""
        lines = [line for line in self.output.splitlines() if line.strip() and not _PROGRESS.match(line)]
        return [line for line in lines if line[0] not in _TABLE_SIGNS and not line.rstrip().endswith("_agent")]


class Collecting:
    """A running `ng_collect_rollouts`."""

    def __init__(
        self,
        gym: FaultyGym,
        folder: Path,
        rows: Iterable[Row],
        *arguments: str,
        wrapped: Callable[[str], str] = str,
        more: Mapping[str, str] | None = None,
        output: str = "out.jsonl",
    ) -> None:
        """`wrapped` makes another shell command of the usual one."""
        self.folder, self.results = folder, folder / output
        folder.mkdir(exist_ok=True)
        tasks = folder / "tasks.jsonl"
        if not tasks.exists():
            tasks.write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in rows))
        home = folder / ".nemo_gym"
        if not home.exists():
            home.symlink_to(gym.folder / ".nemo_gym")
        paths = f"+input_jsonl_fpath=tasks.jsonl +output_jsonl_fpath={output}"
        self.command = f"ng_collect_rollouts {paths} +max_failed=1000000 {' '.join(arguments)}"
        self._mark = uuid.uuid4().hex
        self._started = time.monotonic()
        self.process = subprocess.Popen(
            ["bash", "-c", wrapped(f"exec {self.command}")],
            cwd=folder,
            env={**environment(), **(more or {}), MARK: self._mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._output: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def results_so_far(self) -> int:
        return self.results.read_bytes().count(b"\n") if self.results.exists() else 0

    def until_results(self, more_than: int = 0) -> bool:
        """Wait until there are more results than that; False if the process ended before."""
        while self.process.poll() is None:
            if self.results_so_far() > more_than:
                return True
            time.sleep(0.005)
        return False

    def until_said(self, words: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while words not in "".join(self._output):
            assert time.monotonic() < deadline, f"no {words!r} in {self._output}"
            time.sleep(0.005)

    def end(self, patience_s: float = PATIENCE_S) -> Outcome:
        """What came of it. One that does not end in time is killed, which is a problem."""
        problems = []
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            problems.append(f"it did not end within {patience_s:g} s")
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        seconds = time.monotonic() - self._started
        self._reader.join()
        outcome = Outcome(self.process.returncode, "".join(self._output), seconds, problems=problems)
        outcome.orphans = _carrying(f"{MARK}={self._mark}")
        if "Traceback" in outcome.output:
            problems.append("a stack trace on the terminal")
        account(self.results, outcome)
        return outcome

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._output.append(line)


def account(results: Path, outcome: Outcome) -> None:
    """Count every rollout of the files and compare each reward with what its row is worth."""
    inputs = results.with_name(f"{results.stem}_materialized_inputs.jsonl")
    asked = {_key(line): line for line in lines_of(inputs)}
    done = Counter(_key(line) for line in lines_of(results))
    failures = lines_of(results.with_name(f"{results.stem}_failures.jsonl"))
    failed = Counter(_key(line) for line in failures)
    problems = outcome.problems
    problems += [f"rollout {key} is counted {count} times" for key, count in (done + failed).items() if count > 1]
    problems += [f"rollout {key} was not asked for" for key in (done + failed).keys() - asked.keys()]
    for result in lines_of(results):
        worth = asked[_key(result)]["worth"] if _key(result) in asked else None
        if result["reward"] != worth or FAILURE_CLASS in result:
            problems.append(f"rollout {_key(result)} has reward {result['reward']}, is worth {worth}")
    for failure in failures:
        if "reward" in failure:
            problems.append(f"the failed rollout {_key(failure)} has a reward")
        if failure[FAILURE_CLASS] not in set(FailureClass):
            problems.append(f"`{failure[FAILURE_CLASS]}` is no failure class")
    outcome.requested, outcome.completed = len(asked), len(done)
    outcome.failed = Counter(failure[FAILURE_CLASS] for failure in failures)
    outcome.failures = {failure[TASK_INDEX]: failure for failure in failures}
    outcome.done = {task for task, _ in done}
    ended = [*lines_of(results), *failures]
    outcome.took_s = {line[TASK_INDEX]: line["timings"]["total_s"] for line in ended if "timings" in line}


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file that a killed process may have left torn at its end."""
    if not path.exists():
        return []
    return [orjson.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def _key(line: Mapping[str, Any]) -> Key:
    return line[TASK_INDEX], line[ROLLOUT_INDEX]


def _carrying(mark: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append(f"{process.name} {(process / 'cmdline').read_text()}".replace("\0", " "))
        except OSError:
            continue
    return found
