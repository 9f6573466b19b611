"""Examples: a trainer's rows run side by side, and awaited one by one in order of completion."""

from __future__ import annotations

import asyncio
import resource
import uuid
from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from typing import Literal

from nemo_gym.errors import DataError, RolloutError
from nemo_gym.rollouts.attempt import Result
from nemo_gym.rollouts.collection import agents_of
from nemo_gym.rollouts.rows import TaskRow, agent_of, unknown_agent
from nemo_gym.rollouts.running import run_rollouts
from nemo_gym.schemas.rollout import AGENT_REF, FAILURE, FAILURE_CLASS, ROLLOUT_ID, FailureClass
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.runs import fetch_directory
from nemo_gym.serving.server_client import ServerClient

Finished = tuple[TaskRow, Result]
"""A row as it was given, and its result."""

MOST_PARALLEL = 4096

STATUSES: dict[str, int] = {
    FailureClass.BAD_ROW: 422,
    FailureClass.CONTEXT_OVERFLOW: 400,
    FailureClass.CANCELLED: 499,
    FailureClass.UNREACHABLE: 503,
    FailureClass.TIMEOUT: 504,
    FailureClass.MODEL_TIMEOUT: 504,
}
"""`RolloutError.status` by failure class; all others are 502. Below 500 stands what trying again cannot mend."""


@dataclass(frozen=True)
class ExampleOptions:
    """How rows are run."""

    num_parallel: int
    """Rollouts in flight at a time."""
    timeout_s: float
    """For one rollout."""
    on_failure: Literal["raise", "return"]
    """Whether awaiting a failed rollout raises `RolloutError`, or returns the failure with `mask_sample` set."""
    slots: AbstractAsyncContextManager[object]
    """Entered around each rollout: a semaphore that several calls share, say."""
    token: str | None = field(default=None, repr=False)
    """The run's."""


def default_num_parallel() -> int:
    """As many as half of the file descriptors that this process may open, at most `MOST_PARALLEL`."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_PARALLEL if soft == resource.RLIM_INFINITY else max(1, min(MOST_PARALLEL, soft // 2))


def run_in_order_of_completion(
    rows: Sequence[TaskRow], head_url: str, options: ExampleOptions
) -> Iterator[Awaitable[Finished]]:
    """One awaitable per row; the first to be awaited gets what finishes first, and so on.

    Everything starts with the first `next`, in the event loop that then runs, and all awaitables belong to that loop.
    Closing the iterator before its end (leaving a `for` loop does it) cancels what still runs.
    """
    finished: asyncio.Queue[Finished | Exception] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    running = loop.create_task(_run(rows, head_url, options, finished))
    try:
        for _ in rows:
            yield _take(finished, running)
    except GeneratorExit:  # not at the end: who asked for all awaitables may await them later
        if not loop.is_closed():
            loop.call_soon_threadsafe(running.cancel)
        raise


async def _take(finished: asyncio.Queue[Finished | Exception], running: asyncio.Task[None]) -> Finished:
    # Holds the task as well: asyncio itself remembers tasks only weakly.
    one = await finished.get()
    if isinstance(one, Exception):
        raise one
    return one


async def _run(
    rows: Sequence[TaskRow], head_url: str, options: ExampleOptions, finished: asyncio.Queue[Finished | Exception]
) -> None:
    """Put a result or an error into `finished` for each row, whatever happens."""
    pending = {uuid.uuid4().hex: row for row in rows}
    http = HttpClient()
    left_over: list[Exception] = []
    try:
        directory = await fetch_directory(head_url, http, token=options.token)
        client = ServerClient(directory, http, token=options.token)
        async with aclosing(_results(client, pending, options)) as results:
            async for rollout_id, result in results:
                finished.put_nowait(_outcome(pending.pop(rollout_id), result, options.on_failure))
    except Exception as error:  # noqa: BLE001 - raised where the results are awaited
        left_over = [error] * len(pending)
    except asyncio.CancelledError:
        left_over = [_cancelled(row) for row in pending.values()]
        raise
    finally:
        for each in left_over:
            finished.put_nowait(each)
        await http.close()


async def _results(
    client: ServerClient, pending: dict[str, TaskRow], options: ExampleOptions
) -> AsyncGenerator[tuple[str, Result], None]:
    """Rollout id and result of each row. Raises `DataError` before anything is sent if a row has no agent that runs."""
    agents = agents_of(client)
    sent = [_addressed(row, index, agents) | {ROLLOUT_ID: key} for index, (key, row) in enumerate(pending.items())]
    results = run_rollouts(
        client,
        sent,
        num_parallel=options.num_parallel,
        timeout_s=options.timeout_s,
        slots=options.slots,
        whole_prompts=True,
    )
    async with aclosing(results):
        async for row, result in results:
            yield row[ROLLOUT_ID], result


def _addressed(row: TaskRow, index: int, agents: list[str]) -> TaskRow:
    name = agent_of(row)
    if name is None and len(agents) == 1:
        name = agents[0]
    if name is None:
        raise DataError("examples", index, f"`agent_ref` is missing; agents that run: {', '.join(agents) or 'none'}")
    if name not in agents:
        raise DataError("examples", index, unknown_agent(name, agents))
    return row | {AGENT_REF: {"type": "responses_api_agents", "name": name}}


def _outcome(row: TaskRow, result: Result, on_failure: Literal["raise", "return"]) -> Finished | RolloutError:
    if FAILURE_CLASS not in result:
        return row, result
    if on_failure == "return":
        config = result.get("instance_config")
        own = config if isinstance(config, dict) else {}
        return row, result | {"instance_config": own | {"mask_sample": True}}
    return _error(row, result)


def _error(row: TaskRow, result: Result) -> RolloutError:
    kind = str(result[FAILURE_CLASS])
    failure = result.get(FAILURE) or {}
    place = " ".join(str(failure[key]) for key in ("stage", "server") if failure.get(key))
    message = f"rollout failed: {kind} ({place or 'agent'}): {failure.get('message', 'no reason given')}"
    return RolloutError(message, status=STATUSES.get(kind, 502), failure_class=kind, row=row, result=result)


def _cancelled(row: TaskRow) -> RolloutError:
    kind = FailureClass.CANCELLED
    message = "rollout cancelled: its iterator was closed, or its event loop ended"
    return RolloutError(message, status=STATUSES[kind], failure_class=kind.value, row=row, result={})
