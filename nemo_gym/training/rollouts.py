"""RunningGym: the servers of a run as a program without an event loop uses them, such as a synchronous trainer."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from urllib.parse import urlsplit

from nemo_gym.agent_loop.environment import RemoteEnvironment
from nemo_gym.agent_loop.failure import EpisodeFailure
from nemo_gym.config.global_config import get_first_server_config_dict
from nemo_gym.config.initial import GlobalConfigDictParserConfig
from nemo_gym.config.nearest import suggestion
from nemo_gym.config.places import find_file
from nemo_gym.config_types import BaseServerConfig
from nemo_gym.errors import ConfigError, ConfigProblem, LaunchError
from nemo_gym.launch.run_helper import RunHelper
from nemo_gym.rollouts.attempt import Result
from nemo_gym.rollouts.collection import agents_of
from nemo_gym.rollouts.collection_helper import RolloutCollectionHelper
from nemo_gym.rollouts.rows import TaskRow, agent_of, read_rows, unknown_agent
from nemo_gym.schemas.rollout import AGENT_REF, FAILURE, FAILURE_CLASS, FailureClass, RolloutFailure, StopReason
from nemo_gym.serving.http import NO_RETRY, HttpClient
from nemo_gym.serving.runs import fetch_directory, find_head, find_run, read_global_config
from nemo_gym.serving.server_client import ServerClient

T = TypeVar("T")

DEFAULT_BATCH_TIMEOUT_S = 1800.0
VERIFY_TIMEOUT_S = 300.0


class RunningGym:
    """Its methods block and may be called from any thread; `submit` and `start_coroutine` do not block.

    All requests are made in an event loop in a thread of its own. Use as `with RunningGym.start(config) as gym:`, or
    call `close`.
    """

    def __init__(
        self, head: BaseServerConfig, *, run_helper: RunHelper | None = None, num_parallel: int | None = None
    ) -> None:
        """`run_helper`: what started the servers, ended with this. `num_parallel`: rollouts in flight at a time."""
        self.head, self._run_helper, self._num_parallel = head, run_helper, num_parallel
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nemo-gym-rollouts", daemon=True)
        self._thread.start()
        self._closed = False
        self._client: ServerClient | None = None
        self._talks_back: dict[str, bool] = {}

    @classmethod
    def start(
        cls,
        config: Mapping[str, Any] | GlobalConfigDictParserConfig | None = None,
        *,
        num_parallel: int | None = None,
        **values: Any,
    ) -> Self:
        """Start the servers of a configuration, `config_paths` included, and return when all are ready.

        `values` are added to the configuration. Raises `ConfigError` with every mistake, or `LaunchError`.
        """
        if not isinstance(config, GlobalConfigDictParserConfig):
            config = GlobalConfigDictParserConfig(
                initial_global_config_dict={**(config or {}), **values}, skip_load_from_cli=True
            )
        helper = RunHelper()
        helper.start(config)
        head = helper._server_client.head_server_config
        assert head is not None
        return cls(head, run_helper=helper, num_parallel=num_parallel)

    @classmethod
    def attach(cls, head: str | BaseServerConfig | None = None, *, num_parallel: int | None = None) -> Self:
        """Use servers that run already: those of the head server at this URL, or of the run in this folder."""
        if not isinstance(head, BaseServerConfig):
            parts = urlsplit(head or find_head(Path.cwd()))
            head = BaseServerConfig(host=parts.hostname or "127.0.0.1", port=parts.port)
        return cls(head, num_parallel=num_parallel)

    def close(self) -> None:
        """Cancel what is under way, and end the servers that this started. Calling it again does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        finally:
            if self._run_helper is not None:
                self._run_helper.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    # Rollouts

    def collect(self, rows: Sequence[TaskRow], *, timeout_s: float = DEFAULT_BATCH_TIMEOUT_S) -> list[Result]:
        """One rollout of each row, in the order of the rows.

        A rollout that failed, or did not end within `timeout_s` of the call, is a result without `reward`, with
        `_ng_failure_class` and `instance_config.mask_sample`. Raises `RequestError` where the head server does not
        answer and `DataError` where a row names no agent that runs; then nothing was run.
        """
        return self.submit(rows, timeout_s=timeout_s).result()

    def submit(self, rows: Sequence[TaskRow], *, timeout_s: float = DEFAULT_BATCH_TIMEOUT_S) -> Future[list[Result]]:
        """`collect` in the background. Cancelling the future cancels the rollouts."""
        return self.start_coroutine(self._collect([*rows], timeout_s))

    def start_coroutine(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run it in this gym's event loop."""
        if self._closed:
            coroutine.close()
            raise LaunchError("this gym is closed")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _collect(self, rows: list[TaskRow], timeout_s: float) -> list[Result]:
        if not rows:
            return []
        sent = [dict(row) for row in rows]  # each an object of its own, by which its result is known
        results: dict[int, Result] = {}
        examples = RolloutCollectionHelper().run_examples(
            sent, self.head, on_failure="return", num_parallel=self._num_parallel, timeout_s=timeout_s
        )
        try:
            with closing(cast("Any", examples)):
                async with asyncio.timeout(timeout_s):
                    for awaitable in examples:
                        row, result = await awaitable
                        results[id(row)] = result
        except TimeoutError:
            late = f"the batch did not end within {timeout_s:g} s"
            return [results.get(id(row)) or failed_result(row, FailureClass.TIMEOUT, late) for row in sent]
        return [results[id(row)] for row in sent]

    # Scoring what was sampled elsewhere

    def verify(self, row: TaskRow, response: dict[str, Any]) -> dict[str, Any]:
        """What the row's resources server makes of this response: its `/verify` answer, with a finite `reward`.

        Raises `EpisodeFailure` where it gives none.
        """
        return self.start_coroutine(self._verify(row, response, self._scorer_of(row))).result()

    def verify_all(self, rows: Sequence[TaskRow], responses: Sequence[dict[str, Any]]) -> list[Result]:
        """`verify` of each side by side; a failure is a result as `collect` gives it."""

        async def one(row: TaskRow, response: dict[str, Any], server: str | None) -> Result:
            try:
                return {**row, **await self._verify(row, response, server), "response": response}
            except EpisodeFailure as error:
                return failed_result(row, error.failure.failure_class, error.failure.message, error.failure)

        scorers = [self._scorer_of(row) for row in rows]

        async def everything() -> list[Result]:
            return await asyncio.gather(*(one(*each) for each in zip(rows, responses, scorers, strict=True)))

        return self.start_coroutine(everything()).result()

    def _scorer_of(self, row: TaskRow) -> str | None:
        return self.resources_server_of(self.agent_for(row))

    async def _verify(self, row: TaskRow, response: dict[str, Any], server: str | None) -> dict[str, Any]:
        if server is None:
            message = f"agent `{agent_of(row)}` names no resources server, so nothing can score a completion"
            raise EpisodeFailure(FailureClass.VERIFY_ERROR, "verify", message)
        environment = self._environment(server)
        try:
            await environment.seed(row)
            return await environment.verify({**row, "response": response})
        finally:
            await environment.close()

    # What runs

    @property
    def client(self) -> ServerClient:
        """Knows all servers of the run and its configuration (without secrets). Raises `RequestError`."""
        if self._client is None:
            url, token = find_run(Path.cwd(), self.head)
            directory = self.start_coroutine(fetch_directory(url, token=token)).result()
            values = read_global_config(url, token=token)
            self._client = ServerClient(directory, HttpClient(), global_config_dict=values)
        return self._client

    @property
    def agents(self) -> list[str]:
        """Names of the agents that run."""
        return agents_of(self.client)

    def agent_for(self, row_or_name: TaskRow | str | None = None) -> str:
        """The agent that a row names, or of this name, or of the resources server of this name; else the only one.

        Raises `ConfigError` where there is no such agent or where there are several.
        """
        name = row_or_name if isinstance(row_or_name, str) or row_or_name is None else agent_of(row_or_name)
        agents = self.agents
        if name in agents:
            return name
        candidates = agents if name is None else [one for one in agents if self.resources_server_of(one) == name]
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            what = f"several agents could play `{name}`" if name else "several agents run"
            message = f"{what}: {', '.join(candidates)}; name one, in `env` or in each row's `agent_ref`"
        else:
            message = unknown_agent(name, agents) if name else "no agent runs"
            servers = [server for one in agents if (server := self.resources_server_of(one))]
            message += f"; {suggestion(name, servers, kind='resources servers with an agent')}" if name else ""
        raise ConfigError([ConfigProblem("running gym", "env", message)])

    def url_of(self, server: str) -> str:
        """Where a server of the run answers; the first address of several. Raises `ConfigError` where there is none."""
        address = self.client.directory.get(server)
        if address is None:
            message = f"no server of that name; {suggestion(server, self.client.directory, kind='servers')}"
            raise ConfigError([ConfigProblem("running gym", server, message)])
        return address.urls[0]

    def settings_of(self, instance: str) -> Mapping[str, Any]:
        """An instance's block of the configuration."""
        settings: Mapping[str, Any] = get_first_server_config_dict(self.client._global_config, instance)
        return settings

    def resources_server_of(self, agent: str) -> str | None:
        """Name of the resources server that an agent plays with; None where it names none."""
        reference = self.settings_of(agent).get("resources_server")
        return reference.get("name") if isinstance(reference, Mapping) else None

    def talks_back(self, resources_server: str) -> bool:
        """Whether it offers `/reset` and `/step`. Asked once."""
        if resources_server not in self._talks_back:
            environment = self._environment(resources_server)
            self._talks_back[resources_server] = self.start_coroutine(environment.offers_turns()).result()
        return self._talks_back[resources_server]

    def rows_of(self, agent: str, *types: str) -> list[TaskRow]:
        """Task rows of the first of an agent's `datasets` that has one of these types, by default the first of all.

        Each names the agent. Raises `ConfigError` where there is none.
        """
        datasets = self.settings_of(agent).get("datasets") or []
        wanted = [one for kind in types for one in datasets if one.get("type") == kind] if types else datasets
        for dataset in wanted:
            path = find_file(str(dataset.get("jsonl_fpath")), Path.cwd())
            if path is not None:
                return [with_agent(row, agent) for _, row in read_rows(path)]
        message = f"none of its datasets is there ({', '.join(types) or 'any type'}); give the trainer task rows"
        raise ConfigError([ConfigProblem("running gym", f"{agent}.datasets", message)])

    def _environment(self, server: str) -> RemoteEnvironment:
        return RemoteEnvironment(
            self.client,
            server,
            rollout_id=uuid.uuid4().hex,
            tool_timeout_s=VERIFY_TIMEOUT_S,
            verify_timeout_s=VERIFY_TIMEOUT_S,
            retry=NO_RETRY,
        )

    async def _end(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._client is not None:
            await self._client.http.close()


def with_agent(row: TaskRow, agent: str) -> TaskRow:
    """The row, naming an agent; its own where it names one."""
    return row if agent_of(row) else {**row, AGENT_REF: {"type": "responses_api_agents", "name": agent}}


def failed_result(row: TaskRow, kind: FailureClass, message: str, failure: RolloutFailure | None = None) -> Result:
    """A failure as a collection returns it: the row, what happened, no reward, and `mask_sample` set."""
    failure = failure or RolloutFailure(failure_class=kind, stage="collect", message=message)
    own = row.get("instance_config")
    return {
        **row,
        "stop_reason": StopReason.FAILED.value,
        FAILURE_CLASS: kind.value,
        FAILURE: failure.model_dump(mode="json"),
        "instance_config": (own if isinstance(own, dict) else {}) | {"mask_sample": True},
    }
