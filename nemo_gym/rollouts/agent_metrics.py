"""The metrics of a collection, one entry per agent: asked of the agent, else computed here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from nemo_gym.errors import ConfigError, RequestError
from nemo_gym.metrics.aggregate import aggregate_metrics
from nemo_gym.schemas.episode import AggregateMetrics
from nemo_gym.schemas.rollout import AGENT_REF
from nemo_gym.serving.server_client import ServerClient

AGGREGATE_TIMEOUT_S = 600.0

_LONG_FIELDS = ("responses_create_params", "turns")
_LONG_RESPONSE_FIELDS = ("output", "tools", "instructions")


class AgentMetrics(BaseModel):
    """One entry of `X_aggregate_metrics.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent_ref: dict[str, str]
    agent_metrics: dict[str, Any]
    key_metrics: dict[str, Any]
    group_level_metrics: list[dict[str, Any]]


@dataclass(frozen=True)
class CollectedMetrics:
    """The metrics of all agents of a collection."""

    entries: list[AgentMetrics]
    """By agent name."""
    notes: list[str]
    """What the user should know about them: which are not the agent's own."""


async def collect_metrics(client: ServerClient, results: Iterable[bytes], *, timeout_s: float) -> CollectedMetrics:
    """Metrics of the result lines, for each agent those that its `POST /aggregate_metrics` answers.

    The agent is sent the results without their long fields (the request, the output items, the turns). If it does not
    answer, the default metrics are computed here instead and a note says so.
    """
    by_agent: dict[str, list[bytes]] = {}
    for line in results:
        result = orjson.loads(line)
        by_agent.setdefault(str(result[AGENT_REF]["name"]), []).append(orjson.dumps(_shortened(result)))
    entries, notes = [], []
    for agent in sorted(by_agent):
        lines = by_agent.pop(agent)
        try:
            metrics = await _ask_agent(client, agent, lines, timeout_s)
        except (RequestError, ValidationError, ConfigError) as error:  # a ConfigError: no such agent is running
            first_line = str(error).splitlines()[0]
            notes.append(f"`{agent}` gave no metrics of its own ({first_line}): these are the default ones")
            metrics = aggregate_metrics(orjson.loads(line) for line in lines)
        reference = {"type": "responses_api_agents", "name": agent}
        entries.append(
            AgentMetrics(
                agent_ref=reference,
                agent_metrics=metrics.agent_metrics,
                key_metrics=metrics.key_metrics,
                group_level_metrics=metrics.group_level_metrics,
            )
        )
    return CollectedMetrics(entries, notes)


async def _ask_agent(client: ServerClient, agent: str, lines: list[bytes], timeout_s: float) -> AggregateMetrics:
    body = b'{"verify_responses":[' + b",".join(lines) + b"]}"
    answer = await client.post(agent, "/aggregate_metrics", body=body, timeout_s=timeout_s)
    answer.raise_for_status()
    return AggregateMetrics.model_validate(answer.parse())


def _shortened(result: dict[str, Any]) -> dict[str, Any]:
    short = {key: value for key, value in result.items() if key not in _LONG_FIELDS}
    response = short.get("response")
    if isinstance(response, dict):
        short["response"] = {key: value for key, value in response.items() if key not in _LONG_RESPONSE_FIELDS}
    return short
