"""Stored rollouts: a collection's results beside its rows, each found by task and rollout index, on disk."""

from __future__ import annotations

import hashlib
import threading
from array import array
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from nemo_gym.errors import DataError
from nemo_gym.rollouts.plan import Plan
from nemo_gym.rollouts.result_line import ResultLine
from nemo_gym.rollouts.rows import agent_of, parse_row, read_lines
from nemo_gym.schemas.rollout import ROLLOUT_INDEX, TASK_INDEX

_NO_RESULT = -1


class StoredRollouts:
    """Opens the two files of a collection. Memory: 8 bytes per rollout.

    The results may still be written to: those that came later, and a torn last line, are left out.
    """

    def __init__(self, results: Path, inputs: Path) -> None:
        """Raises `DataError` where the files are no collection, or not of the same one."""
        self.results = results
        self.agents: set[str] = set()
        """All that the rows name."""
        self.plan = self._read_inputs(inputs)
        self.num_results = 0
        self._offsets = array("q", [_NO_RESULT]) * self.plan.size
        self._lock = threading.Lock()
        self._file = self._open()
        self._read_results()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def has(self, task: int, rollout: int) -> bool:
        """Whether that rollout has a result."""
        place = self.plan.position(task, rollout)
        return place is not None and self._offsets[place] != _NO_RESULT

    def read(self, task: int, rollout: int) -> dict[str, Any]:
        """That rollout's result. It must have one."""
        place = self.plan.position(task, rollout)
        assert place is not None
        with self._lock:
            self._file.seek(self._offsets[place])
            result = orjson.loads(self._file.readline())
        assert isinstance(result, dict)
        return result

    def _read_inputs(self, inputs: Path) -> Plan:
        digest = hashlib.sha256()
        size = num_repeats = 0
        for line in read_lines(inputs):
            row = parse_row(inputs, line)
            agent = agent_of(row)
            if not isinstance(row.get(TASK_INDEX), int) or not isinstance(row.get(ROLLOUT_INDEX), int) or agent is None:
                message = "is no row of materialized inputs; give those of the collection"
                raise DataError(str(inputs), line.number, message)
            digest.update(line.text + b"\n")
            self.agents.add(agent)
            size += 1
            num_repeats += row[TASK_INDEX] == 0
        if num_repeats == 0 or size % num_repeats:
            message = f"{size} rows are not every repeat of every task; was it cut short?"
            raise DataError(str(inputs), None, message)
        return Plan(inputs, size // num_repeats, num_repeats, digest.hexdigest())

    def _open(self) -> Any:
        try:
            return self.results.open("rb")
        except OSError as error:
            raise DataError(str(self.results), None, f"cannot be read: {error.strerror}") from error

    def _read_results(self) -> None:
        offset = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                break
            head = ResultLine.read(self.results, number, line.removesuffix(b"\n"))
            place = self.plan.position(head.task, head.rollout)
            if place is None:
                message = (
                    f"rollout ({head.task}, {head.rollout}) is not in {self.plan.path}: it is of another collection"
                )
                raise DataError(str(self.results), number, message)
            self.num_results += self._offsets[place] == _NO_RESULT
            self._offsets[place] = offset
            offset += len(line)
