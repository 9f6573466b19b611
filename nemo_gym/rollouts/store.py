"""The store of a collection: results and failures as they come, and what is left to run when it is opened again."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import orjson

from nemo_gym.errors import DataError
from nemo_gym.rollouts.failures import told
from nemo_gym.rollouts.files import CollectionFiles
from nemo_gym.rollouts.journal import Journal
from nemo_gym.rollouts.plan import Plan
from nemo_gym.rollouts.record import CollectionRecord
from nemo_gym.rollouts.result_line import ResultLine
from nemo_gym.rollouts.rows import TaskRow
from nemo_gym.rollouts.tally import Tally
from nemo_gym.schemas.rollout import (
    ATTEMPT_INDEX,
    FAILURE_CLASS,
    FAILURE_TERMINAL,
    NO_PERSIST,
    ROLLOUT_INDEX,
    TASK_INDEX,
)

_NO_RESULT = -1


@dataclass(frozen=True)
class StandingFailure:
    """The latest failure of a rollout that has no result."""

    failure_class: str
    attempts: int
    """Made so far, over all runs of this collection."""
    terminal: bool
    line: int | None
    """Number of its line in the failures file; None where the agent asked not to keep it."""


class RolloutStore:
    """Holds the lock on a collection's files. One result or one failure per rollout, never both, never two.

    Memory: eight bytes per rollout, plus the failures.
    """

    def __init__(self, files: CollectionFiles, *, resume: bool, overwrite: bool, max_attempts: int) -> None:
        """Lock the files. Nothing is changed before `start`.

        `max_attempts` bounds the attempts at one rollout over all resumed runs; terminal failures are not tried again.
        Raises `DataError` if another collection writes there, or if results lie there and neither `resume` nor
        `overwrite` is given.
        """
        self.files = files
        self._overwrite = overwrite
        self._max_attempts = max_attempts
        self._results = Journal(files.results)
        try:
            self._failures = Journal(files.failures)
        except DataError:
            self._results.close()
            raise
        self._started = False
        self._failure_lines = 0
        self._offsets = array("q")
        """Where in the results file each place's line begins."""
        self._standing: dict[int, StandingFailure] = {}
        self.tally = Tally(0)
        if self._used() and not resume and not overwrite:
            self.close()
            raise DataError(
                str(files.results),
                None,
                "holds rollouts already; continue them with +resume_from_cache=true, throw them away with "
                "+overwrite=true, or give another +output_jsonl_fpath",
            )

    def start(self, draft: Plan, record: CollectionRecord) -> Plan:
        """Begin or resume the collection that `record` describes; `draft` is its plan, whose file is moved into place.

        Raises `DataError` if the files hold a different collection, naming each difference.
        """
        if self._overwrite:
            self._results.clear()
            self._failures.clear()
        elif self._used():
            self._check_same(record)
        draft.path.replace(self.files.inputs)
        self.plan = Plan(self.files.inputs, draft.num_tasks, draft.num_repeats, draft.input_sha256)
        record.write(self.files.run)
        self.files.metrics.unlink(missing_ok=True)
        self._offsets = array("q", [_NO_RESULT]) * self.plan.size
        self.tally.requested = self.plan.size
        self._results.mend()
        self._failures.mend()
        self._read_results()
        self._read_failures()
        self._drop_stale_failures()
        self._started = True
        return self.plan

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(tidy=kind is None)

    def rows_to_run(self) -> Iterator[TaskRow]:
        """Rows without a result that may still be tried, in order, read as they are asked for."""
        skip = bytearray(offset != _NO_RESULT for offset in self._offsets)
        for place, failure in self._standing.items():
            skip[place] = failure.terminal or failure.attempts >= self._max_attempts
        attempts = {place: failure.attempts for place, failure in self._standing.items()}
        for place, row in self.plan.rows(skip):
            row[ATTEMPT_INDEX] = attempts.get(place, 0)
            yield row

    def add(self, row: TaskRow, result: dict[str, Any]) -> None:
        """Keep what became of a row: a result, or a failure if it holds `_ng_failure_class`."""
        place = self._place(row[TASK_INDEX], row[ROLLOUT_INDEX])
        if FAILURE_CLASS in result:
            self._add_failure(place, row, result)
            self.tally.failed_in_a_row += 1
            self.tally.last_failure = f"{result[FAILURE_CLASS]} of {told(row | result)}"
            return
        self.tally.failed_in_a_row = 0
        keys = {key: row[key] for key in (TASK_INDEX, ROLLOUT_INDEX)}
        offset = self._results.size_bytes
        self._results.append(
            orjson.dumps(keys | {"reward": float(result["reward"])} | _without(result, *keys, "reward"))
        )
        self._set_done(place, offset, float(result["reward"]))

    def results(self) -> Iterator[bytes]:
        """The result lines so far, one by one."""
        return (line for _, line in self._results.lines())

    def tasks(self) -> Iterator[list[bytes]]:
        """The result lines of each task that has any, by task index, each task's by rollout index."""
        with self.files.results.open("rb") as file:

            def line_at(offset: int) -> bytes:
                file.seek(offset)
                return file.readline()

            repeats = self.plan.num_repeats
            for start in range(0, self.plan.size, repeats):
                offsets = self._offsets[start : start + repeats]
                lines = [line_at(offset) for offset in offsets if offset != _NO_RESULT]
                if lines:
                    yield lines

    def sync(self) -> None:
        """Wait until everything kept so far is on the disk."""
        self._results.sync()
        self._failures.sync()

    def close(self, *, tidy: bool = True) -> None:
        """Free the lock; if `tidy`, leave one line per failed rollout in the failures file. Harmless to repeat."""
        if self._started and tidy:
            self._drop_stale_failures()
        self._started = False
        self._failures.close()
        self._results.close()

    def _used(self) -> bool:
        return self._results.size_bytes > 0 or self._failures.size_bytes > 0

    def _check_same(self, record: CollectionRecord) -> None:
        then = CollectionRecord.read(self.files.run)
        if then is None:
            raise DataError(
                str(self.files.results),
                None,
                f"cannot be resumed: `{self.files.run.name}`, which tells what was asked for, is missing; "
                "give another +output_jsonl_fpath, or +overwrite=true",
            )
        differences = then.differences(record)
        if differences:
            raise DataError(
                str(self.files.results),
                None,
                "holds a different collection: "
                + "; ".join(differences)
                + "\nGive the former arguments to resume it, or start anew with another +output_jsonl_fpath "
                "(or +overwrite=true)",
            )

    def _place(self, task: int, rollout: int) -> int:
        place = self.plan.position(task, rollout)
        if place is None:
            raise DataError(str(self.files.results), None, f"rollout ({task}, {rollout}) is not in the plan")
        return place

    def _read_results(self) -> None:
        offset = 0
        for number, line in self._results.lines():
            head = ResultLine.read(self.files.results, number, line)
            place = self._place(head.task, head.rollout)
            if self._offsets[place] != _NO_RESULT:
                message = f"a second result of task {head.task}, rollout {head.rollout}; remove one"
                raise DataError(str(self.files.results), number, message)
            self._set_done(place, offset, head.reward)
            offset += len(line) + 1

    def _read_failures(self) -> None:
        for number, line in self._failures.lines():
            self._failure_lines = number
            try:
                failure = orjson.loads(line)
                place = self._place(failure[TASK_INDEX], failure[ROLLOUT_INDEX])
                standing = StandingFailure(
                    str(failure[FAILURE_CLASS]),
                    int(failure[ATTEMPT_INDEX]) + 1,
                    bool(failure[FAILURE_TERMINAL]),
                    number,
                )
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(str(self.files.failures), number, "is no failed rollout; remove the line") from error
            if self._offsets[place] == _NO_RESULT:
                self._set_failed(place, standing)

    def _add_failure(self, place: int, row: TaskRow, failure: dict[str, Any]) -> None:
        attempt = row.get(ATTEMPT_INDEX, 0)
        terminal = bool(failure.get(FAILURE_TERMINAL))
        if failure.get(NO_PERSIST):
            attempt -= 1  # as if it had not been tried
            before = self._standing.get(place)
            line = before.line if before else None
        else:
            keys = {
                TASK_INDEX: row[TASK_INDEX],
                ROLLOUT_INDEX: row[ROLLOUT_INDEX],
                ATTEMPT_INDEX: attempt,
                FAILURE_CLASS: failure[FAILURE_CLASS],
                FAILURE_TERMINAL: terminal,
            }
            self._failures.append(orjson.dumps(keys | _without(failure, *keys)))
            self._failure_lines += 1
            line = self._failure_lines
        self._set_failed(place, StandingFailure(str(failure[FAILURE_CLASS]), attempt + 1, terminal, line))

    def _set_done(self, place: int, offset: int, reward: float) -> None:
        self._set_failed(place, None)
        self._offsets[place] = offset
        self.tally.completed += 1
        self.tally.reward_sum += reward

    def _set_failed(self, place: int, failure: StandingFailure | None) -> None:
        before = self._standing.pop(place, None)
        if before is not None:
            self.tally.failed[before.failure_class] -= 1
        if failure is not None:
            self._standing[place] = failure
            self.tally.failed[failure.failure_class] += 1

    def _drop_stale_failures(self) -> None:
        """A failure is stale once its rollout has a result or failed again."""
        wanted = {failure.line for failure in self._standing.values() if failure.line is not None}
        if len(wanted) == self._failure_lines:
            return
        self._failures.keep(wanted)
        self._failure_lines = 0
        self._read_failures()


def _without(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in keys}
