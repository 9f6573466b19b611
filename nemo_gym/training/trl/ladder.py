"""The ladder: what becomes of rollouts that fail. Retry, another replica, the trainer's own generation, masked."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass

from nemo_gym.errors import LaunchError, RequestError
from nemo_gym.rollouts.attempt import Result
from nemo_gym.rollouts.rows import TaskRow
from nemo_gym.schemas.rollout import FAILURE, FAILURE_CLASS, TERMINAL_FAILURES, FailureClass
from nemo_gym.training.rollouts import RunningGym, failed_result

logger = logging.getLogger(__name__)

FIRST = "first"
"""The rollout did not fail."""
RETRY = "retry"
REPLICA = "replica"
OWN_GENERATION = "own_generation"
MASKED = "masked"
STEPS_DOWN = (RETRY, REPLICA, OWN_GENERATION)


@dataclass(frozen=True)
class Played:
    """What became of one row."""

    result: Result
    step: str
    """The step of the ladder that it is from: `first`, `retry` or `replica`."""

    @property
    def failed(self) -> bool:
        return FAILURE_CLASS in self.result

    @property
    def is_hopeless(self) -> bool:
        """It failed in a way that trying again cannot mend."""
        return self.result.get(FAILURE_CLASS) in TERMINAL_FAILURES


class Ladder:
    """The steps that are made in the background: the first attempt, a retry, the replicas."""

    def __init__(self, gyms: Sequence[RunningGym], fallbacks: Sequence[str], timeout_s: float) -> None:
        """`gyms`: the first is used, the others are its replicas: runs with the same agents. `timeout_s` is for a batch
        on one step."""
        self.gyms, self.timeout_s = gyms, timeout_s
        retries = [(RETRY, gyms[0])] if RETRY in fallbacks else []
        replicas = [(REPLICA, gym) for gym in gyms[1:]] if REPLICA in fallbacks else []
        self._steps = [(FIRST, gyms[0]), *retries, *replicas]

    def submit(self, rows: Sequence[TaskRow]) -> Future[list[Played]]:
        """One rollout of each row, in their order, some of them failed. Raises what no step down can mend at once:
        `DataError` for an agent that does not run, and mistakes of the program."""
        return self.gyms[0].start_coroutine(self._climb_down([*rows]))

    async def _climb_down(self, rows: list[TaskRow]) -> list[Played]:
        played: list[Played | None] = [None] * len(rows)
        for step, gym in self._steps:
            open_ones = [
                index for index, one in enumerate(played) if one is None or (one.failed and not one.is_hopeless)
            ]
            if not open_ones:
                break
            if step != FIRST:
                logger.warning("%s: %s", step, summary_of([one for one in played if one is not None]))
            results = await self._collect(gym, [rows[index] for index in open_ones])
            for index, result in zip(open_ones, results, strict=True):
                played[index] = Played(result, step)
        return [one for one in played if one is not None]

    async def _collect(self, gym: RunningGym, rows: list[TaskRow]) -> list[Result]:
        try:
            return await asyncio.wrap_future(gym.submit(rows, timeout_s=self.timeout_s))
        except RequestError as error:  # nobody is there: this step fails as a whole
            return [failed_result(row, FailureClass.UNREACHABLE, str(error)) for row in rows]


def finished(future: Future[list[Played]]) -> list[Played]:
    """Wait for rollouts, which end with the waiting where that is interrupted. Raises what `error_of` tells."""
    try:
        wait([future])
    except BaseException:
        future.cancel()
        raise
    if (error := error_of(future)) is not None:
        raise error
    return future.result()


def error_of(future: Future[list[Played]]) -> BaseException | None:
    """What ended rollouts that are done; None where nothing did."""
    if future.cancelled():
        return LaunchError("the gym was closed while its rollouts were under way; close it after the training")
    return future.exception()


def summary_of(played: Sequence[Played]) -> str:
    """How many failed, as what, and one of the messages."""
    failures = [one.result for one in played if one.failed]
    if not failures:
        return f"none of {len(played)} rollouts failed"
    kinds = Counter(str(one[FAILURE_CLASS]) for one in failures)
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    message = (failures[0].get(FAILURE) or {}).get("message", "no reason given")
    return f"{len(failures)} of {len(played)} rollouts failed ({listed}); the first: {message}"
