"""Reverifying: stored rollouts get new rewards from their resources servers, without a single model call."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from nemo_gym.agent_loop.environment import RemoteEnvironment
from nemo_gym.agent_loop.failure import EpisodeFailure
from nemo_gym.errors import BadBody, DataError
from nemo_gym.rollouts.attempt import RETRY, Result
from nemo_gym.rollouts.collection import DEFAULT_MAX_ATTEMPTS, Collected, keep_results, sum_up
from nemo_gym.rollouts.files import CollectionFiles
from nemo_gym.rollouts.plan import Plan, PlanOptions
from nemo_gym.rollouts.record import CollectionRecord
from nemo_gym.rollouts.rows import TaskRow, agent_of
from nemo_gym.rollouts.running import DEFAULT_PARALLEL, Stop, run_each
from nemo_gym.rollouts.store import RolloutStore
from nemo_gym.rollouts.stored import StoredRollouts
from nemo_gym.rollouts.tally import Tally
from nemo_gym.schemas.episode import ReverifyMode
from nemo_gym.schemas.rollout import (
    FAILURE,
    FAILURE_CLASS,
    FAILURE_TERMINAL,
    ROLLOUT_ID,
    ROLLOUT_INDEX,
    TASK_INDEX,
    RolloutRecord,
)
from nemo_gym.serving.server_client import ServerClient

PREVIOUS_REWARD = "_ng_previous_reward"
"""Key under which a result keeps the reward that it had before."""
DEFAULT_VERIFY_TIMEOUT_S = 600.0
MODE_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class ReverifyOptions:
    """What to verify again, where to, and how."""

    output_path: Path
    server_of: Mapping[str, str]
    """Resources server by agent, for every agent of the rows."""
    num_parallel: int = DEFAULT_PARALLEL
    verify_timeout_s: float = DEFAULT_VERIFY_TIMEOUT_S
    """For each of the two requests of a rollout."""
    resume: bool = False
    overwrite: bool = False
    max_attempts: int = DEFAULT_MAX_ATTEMPTS


@dataclass(frozen=True)
class Reverified:
    """What a reverification came to."""

    collected: Collected
    """The new files and their sums. `not run` counts the rollouts that have no result to verify."""
    num_changed: int
    """Rollouts whose reward is another one now."""
    mean_before: float
    mean_after: float
    """Of the same rollouts; 0.0 where there are none."""


async def reverify_modes(client: ServerClient, servers: Iterable[str]) -> dict[str, ReverifyMode]:
    """What each resources server says of scoring stored rollouts. Raises `RequestError` where one does not answer."""
    modes = {}
    for server in servers:
        answer = await client.get(server, "/reverify_mode", timeout_s=MODE_TIMEOUT_S)
        try:
            modes[server] = ReverifyMode(answer.parse()) if answer.ok else ReverifyMode.UNKNOWN
        except (BadBody, ValueError):  # a server of its own kind, which does not say
            modes[server] = ReverifyMode.UNKNOWN
    return modes


async def reverify(
    client: ServerClient,
    stored: StoredRollouts,
    options: ReverifyOptions,
    *,
    stop: Stop | None = None,
    on_progress: Callable[[Tally], None] | None = None,
) -> Reverified:
    """Send each stored rollout's row to `/seed_session`, row and response to `/verify`, and keep what comes back.

    The results are files of a collection (see `CollectionFiles`), resumable like one; each keeps its former reward
    under `_ng_previous_reward`. A verification that fails is a failure like any other. Raises `DataError` for output
    files that belong to something else.
    """
    stop = stop or Stop()
    files = CollectionFiles(options.output_path)
    if files.results.resolve() == stored.results.resolve():
        raise DataError(str(files.results), None, "is read and would be written over; give another +output_jsonl_fpath")

    async def attempt(row: TaskRow) -> Result:
        return await _reverify(client, row, stored.read(row[TASK_INDEX], row[ROLLOUT_INDEX]), options)

    with RolloutStore(
        files, resume=options.resume, overwrite=options.overwrite, max_attempts=options.max_attempts
    ) as store:
        _begin(store, files, stored)
        rows = (row for row in store.rows_to_run() if stored.has(row[TASK_INDEX], row[ROLLOUT_INDEX]))
        await keep_results(store, run_each(rows, attempt, num_parallel=options.num_parallel, stop=stop), on_progress)
        collected = await sum_up(client, store, stop)
        return _compared(collected, store.results())


def _begin(store: RolloutStore, files: CollectionFiles, stored: StoredRollouts) -> None:
    draft_path = files.inputs.with_name(files.inputs.name + ".tmp")
    plan = stored.plan
    try:
        shutil.copyfile(plan.path, draft_path)
        draft = Plan(draft_path, plan.num_tasks, plan.num_repeats, plan.input_sha256)
        of_what = {"reverified": str(stored.results.resolve())}
        asked = PlanOptions(num_repeats=plan.num_repeats)
        store.start(draft, CollectionRecord.of(draft, asked).model_copy(update=of_what))
    finally:
        draft_path.unlink(missing_ok=True)


async def _reverify(client: ServerClient, row: TaskRow, stored: Result, options: ReverifyOptions) -> Result:
    """The stored result with what `/verify` says of it now, or the failure. The session is freed in any case."""
    agent = agent_of(row)
    assert agent is not None
    environment = RemoteEnvironment(
        client,
        options.server_of[agent],
        rollout_id=str(row[ROLLOUT_ID]),
        tool_timeout_s=options.verify_timeout_s,
        verify_timeout_s=options.verify_timeout_s,
        retry=RETRY,
    )
    own = {"responses_create_params": row["responses_create_params"], "response": stored["response"]}
    course: dict[str, Any] = {key: stored[key] for key in ("mode", "turns") if key in stored}
    try:
        await environment.seed(row)
        verified = await environment.verify({**row, **own, **course})
    except EpisodeFailure as error:
        failure = error.failure
        return row | {
            FAILURE_CLASS: failure.failure_class.value,
            FAILURE_TERMINAL: failure.terminal,
            FAILURE: failure.model_dump(mode="json"),
        }
    finally:
        await asyncio.shield(asyncio.ensure_future(environment.close()))
    record = {key: stored[key] for key in RolloutRecord.model_fields if key in stored}
    if "turns" in stored and "turn_rewards" in verified:
        record["turns"] = with_rewards(stored["turns"], verified["turn_rewards"])
    return {**row, **verified, **own, **record, PREVIOUS_REWARD: stored["reward"]}


def with_rewards(turns: list[dict[str, Any]], rewards: list[float]) -> list[dict[str, Any]]:
    """The turns with the rewards that they have now, in order; as they were where there are not as many."""
    rewarded = [turn for turn in turns if turn.get("reward") is not None]
    if len(rewarded) != len(rewards):
        return turns
    new = iter(rewards)
    return [turn if turn.get("reward") is None else {**turn, "reward": next(new)} for turn in turns]


def _compared(collected: Collected, results: Iterator[bytes]) -> Reverified:
    before = after = 0.0
    count = num_changed = 0
    for line in results:
        result: dict[str, Any] = orjson.loads(line)
        old, new = float(result[PREVIOUS_REWARD]), float(result["reward"])
        before, after, count = before + old, after + new, count + 1
        num_changed += old != new
    return Reverified(collected, num_changed, before / max(count, 1), after / max(count, 1))
