"""The plan of a collection: which rollouts of which tasks to run, as rows ready to be sent."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from nemo_gym.errors import DataError
from nemo_gym.prompt import PromptConfig
from nemo_gym.rollouts.files import writing
from nemo_gym.rollouts.rows import Line, Problems, TaskRow, agent_of, parse_row, prompted_row, read_lines, unknown_agent
from nemo_gym.schemas.rollout import AGENT_REF, ROLLOUT_ID, ROLLOUT_INDEX, TASK_INDEX


@dataclass(frozen=True)
class PlanOptions:
    """Everything that decides what is run. A resumed collection must have the same."""

    agent_name: str | None = None
    """Agent of the rows that name none."""
    limit: int | None = None
    """Only so many rows of the file, from its start; None is all."""
    num_repeats: int = 1
    """Rollouts per task."""
    responses_create_params: dict[str, Any] = field(default_factory=dict)
    """Set over each row's own, key by key."""
    prompt: PromptConfig | None = None
    """Makes the input of rows that have none, from their fields."""


@dataclass(frozen=True)
class Plan:
    """A plan written down: the rollouts in order, task by task, as lines of a file."""

    path: Path
    num_tasks: int
    num_repeats: int
    input_sha256: str
    """Of the lines of the input file that are used."""

    @property
    def size(self) -> int:
        """Number of rollouts."""
        return self.num_tasks * self.num_repeats

    def position(self, task: int, rollout: int) -> int | None:
        """Place of a rollout in the plan, from 0; None if the plan has no such rollout."""
        if 0 <= task < self.num_tasks and 0 <= rollout < self.num_repeats:
            return task * self.num_repeats + rollout
        return None

    def key(self, position: int) -> tuple[int, int]:
        """(task index, rollout index) of a place."""
        return divmod(position, self.num_repeats)

    def rows(self, skip: Sequence[int] = ()) -> Iterator[tuple[int, TaskRow]]:
        """(place, row) one by one, read as they are asked for. `skip` is 1 at each place to leave out.

        Raises `DataError` if the file is not what was written.
        """
        place = -1
        for place, line in enumerate(read_lines(self.path)):
            if place < len(skip) and skip[place]:
                continue
            row = parse_row(self.path, line)
            if (row.get(TASK_INDEX), row.get(ROLLOUT_INDEX)) != self.key(place):
                raise DataError(str(self.path), line.number, "not the row that was written here; collect again")
            yield place, row
        if place + 1 != self.size:
            raise DataError(str(self.path), None, f"{place + 1} lines instead of {self.size}; collect again")


def write_plan(input_path: Path, output_path: Path, options: PlanOptions, agents: Collection[str]) -> Plan:
    """Check every row of `input_path` and write the rows as they will be run, each task's repeats together.

    Each row gets its indices, its `agent_ref` and an `_ng_rollout_id` that depends on nothing but the row as run and
    its indices. Memory does not grow with the file. Raises `DataError`, listing the first bad rows together; a row for
    an agent that is not among `agents` is bad.
    """
    problems = Problems(input_path)
    digest = hashlib.sha256()
    num_tasks = 0
    with writing(output_path), output_path.open("wb") as file:
        for line in read_lines(input_path):
            if num_tasks == options.limit:
                break
            digest.update(line.text + b"\n")
            try:
                row = _row_to_run(input_path, line.number, _row_of(input_path, line, options), options, agents)
            except DataError as error:
                problems.add(error)
            else:
                _write_repeats(file, row, num_tasks, options.num_repeats)
            num_tasks += 1
    problems.raise_if_any()
    if num_tasks == 0:
        raise DataError(str(input_path), None, "no task rows in it: nothing to run")
    return Plan(output_path, num_tasks, options.num_repeats, digest.hexdigest())


def _row_of(path: Path, line: Line, options: PlanOptions) -> TaskRow:
    if options.prompt is None:
        return parse_row(path, line)
    return prompted_row(path, line, options.prompt)


def _row_to_run(path: Path, number: int, row: TaskRow, options: PlanOptions, agents: Collection[str]) -> TaskRow:
    name = agent_of(row) or options.agent_name
    if name is None:
        known = ", ".join(f"`{agent}`" for agent in sorted(agents)) or "none"
        raise DataError(str(path), number, f"names no agent in `agent_ref`; give +agent_name=… (running: {known})")
    if name not in agents:
        raise DataError(str(path), number, unknown_agent(name, agents))
    return {
        **row,
        "responses_create_params": {**row["responses_create_params"], **options.responses_create_params},
        AGENT_REF: {"type": "responses_api_agents", "name": name},
    }


def _write_repeats(file: BinaryIO, row: TaskRow, task: int, num_repeats: int) -> None:
    bare = {key: value for key, value in row.items() if key not in (TASK_INDEX, ROLLOUT_INDEX, ROLLOUT_ID)}
    content = hashlib.sha256(orjson.dumps(bare)).hexdigest()[:12]
    for rollout in range(num_repeats):
        indices = {TASK_INDEX: task, ROLLOUT_INDEX: rollout, ROLLOUT_ID: f"{content}-{task}-{rollout}"}
        file.write(orjson.dumps(bare | indices) + b"\n")
