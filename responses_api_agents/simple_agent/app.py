"""simple_agent: calls the model, its tools and the environment in turn, and has the episode scored."""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from http.cookies import CookieError
from typing import Any

from fastapi import HTTPException
from pydantic import Field, PrivateAttr
from starlette.requests import Request
from starlette.responses import Response

from nemo_gym.agent_loop.abilities import ModelAbilities
from nemo_gym.agent_loop.budget import Budget
from nemo_gym.agent_loop.environment import RemoteEnvironment
from nemo_gym.agent_loop.failure import EpisodeFailure
from nemo_gym.agent_loop.loop import Episode, failed_rollout, run_rollout
from nemo_gym.agent_loop.model import RemoteModel
from nemo_gym.agent_loop.routes import Routes
from nemo_gym.base_responses_api_agent import BaseResponsesAPIAgentConfig, SimpleResponsesAPIAgent
from nemo_gym.config_types import ModelServerRef, ResourcesServerRef
from nemo_gym.schemas.episode import AggregateMetrics, AggregateMetricsRequest, BaseRunRequest, MetricsMode
from nemo_gym.schemas.responses import ResponseCreateParams
from nemo_gym.schemas.rollout import ROLLOUT_ID, FailureClass, RolloutFailure
from nemo_gym.serving.http import RetryPolicy, to_json
from nemo_gym.serving.json_route import json_body

log = logging.getLogger(__name__)


class SimpleAgentConfig(BaseResponsesAPIAgentConfig):
    resources_server: ResourcesServerRef
    model_server: ModelServerRef
    max_steps: int | None = Field(default=None, ge=1)
    """Model calls per episode at most; None: no limit."""
    max_turns: int | None = Field(default=None, ge=1)
    """Turns with an environment that talks back at most; None: the environment's own limit."""
    max_total_tokens: int | None = Field(default=None, ge=1)
    """No further model call once the conversation is this long, in tokens."""
    max_tool_calls: int | None = Field(default=None, ge=0)
    time_limit_s: float | None = Field(default=None, gt=0)
    """No further model call once the episode has taken this long."""
    parallel_tools: bool = False
    """Whether the environment's tools may run side by side when a row sets `parallel_tool_calls`."""
    stop_on_overflow: bool = False
    """Whether an episode whose conversation no longer fits the model is scored as it stands, not a failure."""
    use_environment: bool = True
    """Whether environments that talk back are played in turns; false: their rows are played as single turns."""
    use_conversation_multi_turn: bool = True
    """Whether the model sees each turn as a message of its own; false: all turns as one assistant message, which it
    continues. Not every model server can: the agent then refuses to start."""
    model_timeout_s: float = Field(default=600.0, gt=0)
    tool_timeout_s: float = Field(default=120.0, gt=0)
    verify_timeout_s: float = Field(default=300.0, gt=0)
    """Deadline of `/verify`, `/seed_session`, `/reset` and `/step`."""
    max_tool_output_bytes: int = Field(default=16 << 20, gt=0)
    """A tool that answers more ends the rollout as a `tool_error`."""
    max_attempts: int = Field(default=3, ge=1)
    """How often a request that certainly was not processed is sent."""
    max_retry_s: float = Field(default=60.0, gt=0)
    """Seconds after which such a request is given up."""


class SimpleAgent(SimpleResponsesAPIAgent):
    config: SimpleAgentConfig

    _routes: Routes = PrivateAttr()
    _abilities: ModelAbilities = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        self._routes = Routes(self.server_client)
        self._abilities = ModelAbilities(self.server_client)

    async def startup(self) -> None:
        await super().startup()
        if not self.config.use_conversation_multi_turn:
            await self._abilities.require_continuation(self.config.model_server.name)

    async def run(self, request: Request, body: BaseRunRequest) -> dict[str, Any]:
        row = json_body(request)
        episode = self._episode(row, row.get(ROLLOUT_ID) or uuid.uuid4().hex)
        try:
            return await run_rollout(episode)
        except Exception as error:
            log.exception("rollout %s failed", row.get(ROLLOUT_ID))
            message = f"{type(error).__name__}: {error}"
            failure = RolloutFailure(failure_class=FailureClass.AGENT_ERROR, stage="run", message=message)
            return failed_rollout(episode, failure)

    async def responses(self, request: Request, body: ResponseCreateParams) -> Response:
        row = {"responses_create_params": json_body(request)}
        episode = self._episode(row, uuid.uuid4().hex, cookies=request.cookies)
        try:
            answer = await episode.play()
        except EpisodeFailure as error:
            raise HTTPException(502, error.failure.model_dump(mode="json")) from error
        sent = Response(to_json(answer), media_type="application/json")
        for name, value in {**episode.environment.cookies, **episode.model.cookies}.items():
            with suppress(CookieError):  # a name that no cookie may have: the client made it up, and keeps it
                sent.set_cookie(name, value)
        return sent

    async def aggregate_metrics(self, body: AggregateMetricsRequest) -> AggregateMetrics:
        answer = await self.server_client.post(self.config.resources_server.name, "/aggregate_metrics", body)
        answer.raise_for_status()
        return AggregateMetrics.model_validate(answer.parse())

    async def metrics_mode(self) -> MetricsMode:
        if type(self).aggregate_metrics is not SimpleAgent.aggregate_metrics:
            return MetricsMode.OWN
        answer = await self.server_client.get(self.config.resources_server.name, "/metrics_mode")
        return MetricsMode(answer.parse()) if answer.ok else MetricsMode.OWN

    def _episode(self, row: dict[str, Any], rollout_id: str, cookies: dict[str, str] | None = None) -> Episode:
        config = self.config
        retry = RetryPolicy(max_attempts=config.max_attempts, max_elapsed_s=config.max_retry_s)
        environment = RemoteEnvironment(
            self.server_client,
            config.resources_server.name,
            rollout_id=rollout_id,
            tool_timeout_s=config.tool_timeout_s,
            verify_timeout_s=config.verify_timeout_s,
            retry=retry,
            max_tool_output_bytes=config.max_tool_output_bytes,
            cookies=cookies,
            routes=self._routes,
        )
        model = RemoteModel(
            self.server_client,
            config.model_server.name,
            rollout_id=rollout_id,
            timeout_s=config.model_timeout_s,
            retry=retry,
            abilities=self._abilities,
            cookies=cookies,
        )
        budget = Budget(
            max_steps=config.max_steps,
            max_turns=config.max_turns,
            max_total_tokens=config.max_total_tokens,
            max_tool_calls=config.max_tool_calls,
            time_limit_s=config.time_limit_s,
        )
        return Episode(
            row,
            environment,
            model,
            budget,
            parallel_tools=config.parallel_tools,
            stop_on_overflow=config.stop_on_overflow,
            use_environment=config.use_environment,
            use_conversation_multi_turn=config.use_conversation_multi_turn,
        )


if __name__ == "__main__":
    SimpleAgent.run_webserver()
