"""Running rollouts: rows in, `(row, result)` out as each finishes, never more than so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext

from nemo_gym.errors import TrajectoryError
from nemo_gym.rollouts.attempt import Result, attempt_rollout, failed
from nemo_gym.rollouts.ongoing import Ongoing
from nemo_gym.rollouts.rows import TaskRow, agent_of
from nemo_gym.rollouts.whole_prompts import with_whole_prompt_ids
from nemo_gym.schemas.rollout import FailureClass
from nemo_gym.serving.server_client import ServerClient

DEFAULT_PARALLEL = 64
DEFAULT_ROLLOUT_TIMEOUT_S = 1800.0
STARTED_AT_ONCE = 32
"""After so many the event loop gets to connect them: thousands at once would be seconds late with it."""


class Stop:
    """Asks a running collection to end: start nothing more, and wait for what runs only so long."""

    def __init__(self) -> None:
        self.asked = False
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, grace_s: float) -> None:
        """Start no further rollout; cancel those that still run after `grace_s` seconds. May be called again."""
        self.asked = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(grace_s, self._over.set)

    async def over(self) -> None:
        """Returns when `ask` was called and its grace has passed."""
        await self._over.wait()


def run_rollouts(
    client: ServerClient,
    rows: Iterable[TaskRow],
    *,
    num_parallel: int = DEFAULT_PARALLEL,
    timeout_s: float = DEFAULT_ROLLOUT_TIMEOUT_S,
    stop: Stop | None = None,
    slots: AbstractAsyncContextManager[object] | None = None,
    whole_prompts: bool = False,
    ongoing: Ongoing | None = None,
) -> AsyncGenerator[tuple[TaskRow, Result], None]:
    """Run each row on the agent that its `agent_ref` names and yield it with its result, in order of completion.

    A failed rollout is yielded like any other (see `Result`) and stops nothing. `timeout_s` bounds each rollout.
    `slots`, a semaphore say, is entered around each one. With `whole_prompts` each model call's `prompt_token_ids` are
    whole, however short the agent put them. `ongoing` is told which rollouts run. The rest is as `run_each` says.
    """

    async def attempt(row: TaskRow) -> Result:
        async with slots or nullcontext():
            with ongoing.rollout(row) if ongoing else nullcontext():
                result = await attempt_rollout(client, row, timeout_s=timeout_s)
        try:
            return with_whole_prompt_ids(result) if whole_prompts else result
        except TrajectoryError as error:
            return failed(row, FailureClass.AGENT_ERROR, str(error), server=agent_of(row) or "")

    return run_each(rows, attempt, num_parallel=num_parallel, stop=stop)


async def run_each(
    rows: Iterable[TaskRow],
    attempt: Callable[[TaskRow], Awaitable[Result]],
    *,
    num_parallel: int = DEFAULT_PARALLEL,
    stop: Stop | None = None,
) -> AsyncGenerator[tuple[TaskRow, Result], None]:
    """Attempt each row, so many at a time, and yield it with what became of it, in order of completion.

    `rows` is read only as far as there is room for, so it may be endless. Closing the generator, or `stop` once its
    grace has passed, cancels what still runs, down to the servers. What `attempt` raises is raised here.
    """
    finished: asyncio.Queue[tuple[TaskRow, Result] | BaseException | None] = asyncio.Queue()
    running: set[asyncio.Task[None]] = set()
    waiting = iter(rows)
    exhausted = False

    async def run(row: TaskRow) -> None:
        try:
            finished.put_nowait((row, await attempt(row)))
        except Exception as error:  # noqa: BLE001 - a defect of ours: raised where the results are read
            finished.put_nowait(error)

    async def watch(stop: Stop) -> None:
        await stop.over()
        finished.put_nowait(None)

    watcher = asyncio.create_task(watch(stop)) if stop else None
    unread = 0
    try:
        while True:
            while not exhausted and unread < num_parallel and not (stop and stop.asked):
                row = next(waiting, None)
                if row is None:
                    exhausted = True
                    break
                task = asyncio.create_task(run(row))
                running.add(task)
                task.add_done_callback(running.discard)
                unread += 1
                if unread % STARTED_AT_ONCE == 0:
                    await asyncio.sleep(0)
            if unread == 0:
                return
            one = await finished.get()
            if one is None:
                return
            if isinstance(one, BaseException):
                raise one
            unread -= 1
            yield one
    finally:
        leftover = [*running, watcher] if watcher else [*running]
        for each in leftover:
            each.cancel()
        await asyncio.gather(*leftover, return_exceptions=True)
