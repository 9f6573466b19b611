"""The metrics of a collection, one entry per agent: computed here, or asked of an agent that has metrics of its own."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson
from pydantic import ValidationError

from nemo_gym.errors import BadBody, ConfigError, RequestError
from nemo_gym.metrics.aggregate import RunningAggregate, default_key_metrics
from nemo_gym.rollouts.files import write_whole, writing
from nemo_gym.schemas.episode import AggregateMetrics, MetricsMode
from nemo_gym.schemas.rollout import AGENT_REF
from nemo_gym.serving.server_client import ServerClient

AGGREGATE_TIMEOUT_S = 600.0
MODE_TIMEOUT_S = 30.0

_LONG_FIELDS = ("responses_create_params", "turns")
_LONG_RESPONSE_FIELDS = ("output", "tools", "instructions")
_TASKS_AT_A_TIME = 64
"""After so many tasks whoever else waits for the event loop, such as Ctrl-C, gets it."""


@dataclass(frozen=True)
class AgentMetrics:
    """One entry of `X_aggregate_metrics.json`, without the `group_level_metrics`: those are in the file alone."""

    agent_ref: dict[str, str]
    agent_metrics: dict[str, Any]
    key_metrics: dict[str, Any]


@dataclass(frozen=True)
class CollectedMetrics:
    """The metrics of all agents of a collection."""

    entries: list[AgentMetrics]
    """By agent name."""
    notes: list[str]
    """What the user should know about them: which are not the agent's own."""


async def collect_metrics(
    client: ServerClient, tasks: Iterable[list[bytes]], path: Path, *, timeout_s: float
) -> CollectedMetrics:
    """Compute the metrics of each agent and write them to `path`. `tasks`: result lines by task, see `RolloutStore`.

    Memory does not grow with the collection. Only an agent that has metrics of its own (`GET /metrics_mode`) is sent
    all its results, without their long fields (the request, the output items, the turns), by `POST /aggregate_metrics`.
    If it does not answer, the default metrics stand in and a note says so.
    """
    agents: dict[str, _Gathered] = {}
    with writing(path), ExitStack() as files:
        for number, lines in enumerate(tasks):
            rollouts = [orjson.loads(line) for line in lines]
            name = str(rollouts[0][AGENT_REF]["name"])
            if name not in agents:
                # In the same folder: it may become as large as what is written there.
                groups = files.enter_context(tempfile.TemporaryFile(dir=path.parent))
                agents[name] = await _begin(client, name, groups, min(timeout_s, MODE_TIMEOUT_S))
            agents[name].add(rollouts)
            if number % _TASKS_AT_A_TIME == 0:
                await asyncio.sleep(0)
        notes = []
        for name in sorted(agents):
            try:
                await agents[name].ask(client, name, timeout_s)
            except (RequestError, ValidationError, ConfigError) as error:  # a ConfigError: no such agent is running
                first_line = str(error).splitlines()[0]
                notes.append(f"`{name}` gave no metrics of its own ({first_line}): these are the default ones")
        entries = {name: agents[name].entry(name) for name in sorted(agents)}
        write_whole(path, _as_json((entry, agents[name].groups()) for name, entry in entries.items()))
    return CollectedMetrics(list(entries.values()), notes)


@dataclass
class _Gathered:
    """What is known of one agent's rollouts."""

    has_own: bool
    unknown_because: Exception | None
    """Why the agent could not say whether it has metrics of its own."""
    default_groups: IO[bytes]
    """The `group_level_metrics` that are computed here, one a line."""
    default: RunningAggregate = field(default_factory=RunningAggregate)
    rows: list[bytes] = field(default_factory=list)
    """The results as an agent with metrics of its own is sent them."""
    own: AggregateMetrics | None = None

    def add(self, rollouts: list[dict[str, Any]]) -> None:
        """The results of one task."""
        self.default_groups.write(orjson.dumps(self.default.add(rollouts)) + b"\n")
        if self.has_own:
            self.rows += [orjson.dumps(_shortened(rollout)) for rollout in rollouts]

    async def ask(self, client: ServerClient, agent: str, timeout_s: float) -> None:
        """Have the agent compute its own metrics, if it has any. Raises where it gives none."""
        if self.unknown_because is not None:
            raise self.unknown_because
        if not self.has_own:
            return
        body = b'{"verify_responses":[' + b",".join(self.rows) + b"]}"
        self.rows.clear()
        answer = await client.post(agent, "/aggregate_metrics", body=body, timeout_s=timeout_s)
        answer.raise_for_status()
        self.own = AggregateMetrics.model_validate(answer.parse())

    def entry(self, agent: str) -> AgentMetrics:
        reference = {"type": "responses_api_agents", "name": agent}
        if self.own is not None:
            return AgentMetrics(reference, self.own.agent_metrics, self.own.key_metrics)
        found = self.default.agent_metrics()
        return AgentMetrics(reference, found, default_key_metrics(found))

    def groups(self) -> Iterator[bytes]:
        """Each task's entry of `group_level_metrics`."""
        if self.own is not None:
            return (orjson.dumps(group) for group in self.own.group_level_metrics)
        self.default_groups.seek(0)
        return (line.removesuffix(b"\n") for line in self.default_groups)


async def _begin(client: ServerClient, agent: str, groups: IO[bytes], timeout_s: float) -> _Gathered:
    try:
        answer = await client.get(agent, "/metrics_mode", timeout_s=timeout_s)
        is_default = answer.ok and answer.parse() == MetricsMode.DEFAULT
    except BadBody:  # an agent of its own kind, which does not say
        is_default = False
    except (RequestError, ConfigError) as error:
        return _Gathered(has_own=False, unknown_because=error, default_groups=groups)
    return _Gathered(has_own=not is_default, unknown_because=None, default_groups=groups)


def _shortened(result: dict[str, Any]) -> dict[str, Any]:
    short = {key: value for key, value in result.items() if key not in _LONG_FIELDS}
    response = short.get("response")
    if isinstance(response, dict):
        short["response"] = {key: value for key, value in response.items() if key not in _LONG_RESPONSE_FIELDS}
    return short


def _as_json(entries: Iterable[tuple[AgentMetrics, Iterator[bytes]]]) -> Iterator[bytes]:
    """The file in pieces: indented, but each task's metrics on one line."""
    separator = b"[\n"
    for entry, groups in entries:
        yield separator + orjson.dumps(entry, option=orjson.OPT_INDENT_2).removesuffix(b"\n}")
        yield b',\n  "group_level_metrics": ['
        for number, group in enumerate(groups):
            yield (b"\n    " if number == 0 else b",\n    ") + group
        yield b"]\n}"
        separator = b",\n"
    yield b"[]\n" if separator == b"[\n" else b"\n]\n"
