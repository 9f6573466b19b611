"""A collection: runs every rollout of a task file, keeps what comes back, and sums it up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from nemo_gym.rollouts.agent_metrics import AGGREGATE_TIMEOUT_S, CollectedMetrics, collect_metrics
from nemo_gym.rollouts.attempt import Result
from nemo_gym.rollouts.connections import check_open_files
from nemo_gym.rollouts.files import CollectionFiles
from nemo_gym.rollouts.ongoing import Ongoing
from nemo_gym.rollouts.plan import Plan, PlanOptions, write_plan
from nemo_gym.rollouts.record import CollectionRecord
from nemo_gym.rollouts.rows import TaskRow
from nemo_gym.rollouts.running import DEFAULT_PARALLEL, DEFAULT_ROLLOUT_TIMEOUT_S, Stop, run_rollouts
from nemo_gym.rollouts.store import RolloutStore
from nemo_gym.rollouts.tally import Tally
from nemo_gym.serving.server_client import ServerClient

AGENTS = "responses_api_agents"
SYNC_EVERY_S = 5.0
"""Results older than this survive a power cut. A killed process loses none that were written."""
INTERRUPTED_METRICS_TIMEOUT_S = 10.0
"""So long an agent may take over its metrics once someone has pressed Ctrl-C."""
DEFAULT_MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class CollectionOptions:
    """What to collect, where to, and how."""

    input_path: Path
    output_path: Path
    plan: PlanOptions = field(default_factory=PlanOptions)
    num_parallel: int = DEFAULT_PARALLEL
    """Rollouts in flight at a time."""
    rollout_timeout_s: float = DEFAULT_ROLLOUT_TIMEOUT_S
    resume: bool = False
    overwrite: bool = False
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    """At one rollout, over all resumed runs."""
    whole_prompt_token_ids: bool = False
    """Whether stored prompts are whole, or as short as the agent put them."""


@dataclass(frozen=True)
class Collected:
    """What a collection came to."""

    files: CollectionFiles
    tally: Tally
    metrics: CollectedMetrics
    interrupted: bool
    """Whether it was asked to stop before everything had run."""


async def collect(
    client: ServerClient,
    options: CollectionOptions,
    *,
    stop: Stop | None = None,
    on_progress: Callable[[Tally], None] | None = None,
    ongoing: Ongoing | None = None,
) -> Collected:
    """Run all rollouts that have no result yet and write the files of a collection (see `CollectionFiles`).

    `on_progress` is called with the tally at the start and after each rollout; `ongoing` is told which ones run. Raises
    `DataError` for a bad task file, and for output files that belong to something else, and `ConfigError` for more
    rollouts in flight than this process may have connections; a failed rollout raises nothing.
    """
    stop = stop or Stop()
    check_open_files({name: len(client.directory[name].urls) for name in agents_of(client)}, options.num_parallel)
    files = CollectionFiles(options.output_path)
    with RolloutStore(
        files, resume=options.resume, overwrite=options.overwrite, max_attempts=options.max_attempts
    ) as store:
        _begin(store, files, options, agents_of(client))
        results = run_rollouts(
            client,
            store.rows_to_run(),
            num_parallel=options.num_parallel,
            timeout_s=options.rollout_timeout_s,
            stop=stop,
            whole_prompts=options.whole_prompt_token_ids,
            ongoing=ongoing,
        )
        await keep_results(store, results, on_progress)
        return await sum_up(client, store, stop)


async def keep_results(
    store: RolloutStore,
    results: AsyncGenerator[tuple[TaskRow, Result], None],
    on_progress: Callable[[Tally], None] | None,
) -> None:
    """Store what comes, as it comes; nothing is lost if the process is killed, little if the power goes."""
    on_progress = on_progress or _ignore
    synced_at = time.monotonic()
    on_progress(store.tally)
    async with aclosing(results):
        async for row, result in results:
            store.add(row, result)
            on_progress(store.tally)
            if time.monotonic() - synced_at > SYNC_EVERY_S:
                await asyncio.to_thread(store.sync)
                synced_at = time.monotonic()
    store.sync()


async def sum_up(client: ServerClient, store: RolloutStore, stop: Stop) -> Collected:
    """Compute the metrics of all results in a store and write them beside it."""
    wait_s = INTERRUPTED_METRICS_TIMEOUT_S if stop.asked else AGGREGATE_TIMEOUT_S
    metrics = await collect_metrics(client, store.tasks(), store.files.metrics, timeout_s=wait_s)
    interrupted = stop.asked and store.tally.not_run > 0
    return Collected(store.files, store.tally, metrics, interrupted=interrupted)


def agents_of(client: ServerClient) -> list[str]:
    """Names of the agents that a client can reach."""
    return sorted(name for name, address in client.directory.items() if address.server_type == AGENTS)


def _begin(store: RolloutStore, files: CollectionFiles, options: CollectionOptions, agents: list[str]) -> Plan:
    """Check the task file and write down what will be run, before anything is."""
    draft_path = files.inputs.with_name(files.inputs.name + ".tmp")
    try:
        draft = write_plan(options.input_path, draft_path, options.plan, agents)
        return store.start(draft, CollectionRecord.of(draft, options.plan))
    finally:
        draft_path.unlink(missing_ok=True)


def _ignore(tally: Tally) -> None:
    pass
