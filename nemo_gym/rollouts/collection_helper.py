"""RolloutCollectionHelper: rollouts for programs, one by one for a trainer or as a whole file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

from nemo_gym.config_types import BaseServerConfig
from nemo_gym.rollouts.collection import Collected, agents_of, collect
from nemo_gym.rollouts.collection_config import RolloutCollectionConfig
from nemo_gym.rollouts.examples import ExampleOptions, Finished, default_num_parallel, run_in_order_of_completion
from nemo_gym.rollouts.rows import TaskRow
from nemo_gym.rollouts.running import DEFAULT_ROLLOUT_TIMEOUT_S
from nemo_gym.rollouts.running_servers import running_servers
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.runs import find_run


class RolloutCollectionHelper:
    """Holds nothing: calls may overlap, in any event loops."""

    def run_examples(
        self,
        examples: Iterable[TaskRow],
        head_server_config: BaseServerConfig | None = None,
        semaphore: asyncio.Semaphore | None = None,
        *,
        on_failure: Literal["raise", "return"] = "raise",
        num_parallel: int | None = None,
        timeout_s: float = DEFAULT_ROLLOUT_TIMEOUT_S,
    ) -> Iterator[Awaitable[Finished]]:
        """An iterator of awaitables of `(row, result)`, in order of completion, to be used inside an event loop.

        `row` is the object that was given. Each row is one rollout, also where it was sent before: it gets a new
        `_ng_rollout_id`. Its `agent_ref` names the agent, which a row may leave out where only one runs.
        Where the model server reports tokens, each model call's `prompt_token_ids` are whole.

        `head_server_config` says where the run's head server is; by default that of the run in this folder.
        `num_parallel` bounds the rollouts in flight (default: see `default_num_parallel`), `semaphore` those of several
        calls together. No rollout takes longer than `timeout_s`.

        What one awaitable raises concerns that row only where it is a `RolloutError`: its `.row` may be sent again,
        `.status` is below 500 where that is useless. With `on_failure="return"` it is returned instead: a result with
        `_ng_failure_class` and `instance_config.mask_sample`, and without `reward`. A `RequestError` (no head server)
        or `DataError` (no such agent) is raised by all, and nothing was run.
        """
        if on_failure not in ("raise", "return"):
            raise ValueError(f"on_failure is `{on_failure}`; it is `raise` or `return`")
        head_url, token = find_run(Path.cwd(), head_server_config)
        options = ExampleOptions(
            num_parallel=num_parallel or default_num_parallel(),
            timeout_s=timeout_s,
            on_failure=on_failure,
            slots=semaphore or nullcontext(),
            token=token,
        )
        return run_in_order_of_completion(list(examples), head_url, options)

    async def run_from_config(self, config: RolloutCollectionConfig) -> Collected:
        """What `ng_collect_rollouts` does, without progress and summary: run a task file and write its files.

        Raises `LaunchError` where no servers run, `ConfigError` or `DataError` for wrong options and files; a failed
        rollout raises nothing.
        """
        http = HttpClient()
        try:
            client = await running_servers(config.head_server, http)
            return await collect(client, config.of(agents_of(client)))
        finally:
            await http.close()
