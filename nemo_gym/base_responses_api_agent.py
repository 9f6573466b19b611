"""What an agent server subclasses: it runs one episode per `POST /run`."""

from __future__ import annotations

from typing import Any, ClassVar

from fastapi import Body, FastAPI
from starlette.requests import Request

from nemo_gym.config_types import BaseServerConfig
from nemo_gym.metrics.aggregate import aggregate_metrics, default_key_metrics
from nemo_gym.schemas.episode import (
    AggregateMetrics,
    AggregateMetricsRequest,
    BaseRunRequest,
    BaseVerifyResponse,
    MetricsMode,
)
from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.serving.app import SimpleServer

__all__ = ["BaseResponsesAPIAgentConfig", "Body", "SimpleResponsesAPIAgent"]


class BaseResponsesAPIAgentConfig(BaseServerConfig):
    """The configuration of an agent server. Subclass it to add keys."""


class SimpleResponsesAPIAgent(SimpleServer):
    """One way of running episodes. Override `run()` and, if the agent can be called as a model, `responses()`."""

    config: BaseResponsesAPIAgentConfig

    session_ends_after: ClassVar[frozenset[str]] = frozenset({"/run"})

    async def run(self, request: Request, body: BaseRunRequest) -> BaseVerifyResponse | dict[str, Any]:
        """`POST /run`: one episode of a task row; the verify answer with what happened, or a typed failure."""
        raise NotImplementedError(f"{type(self).__name__} must define run()")

    async def responses(self, request: Request, body: ResponseCreateParams) -> Response:
        """`POST /v1/responses`: the agent as a model: model calls and tools until it has an answer, unscored."""
        raise NotImplementedError(f"{type(self).__name__} must define responses()")

    def compute_metrics(self, tasks: list[list[dict[str, Any]]]) -> dict[str, Any]:
        """Metrics of your own over all rollouts, added to the standard ones. `tasks[i][j]`: rollout j of task i."""
        return {}

    def get_key_metrics(self, agent_metrics: dict[str, Any]) -> dict[str, Any]:
        """The few metrics that one looks at first, chosen from all of them."""
        return default_key_metrics(agent_metrics)

    async def aggregate_metrics(self, body: AggregateMetricsRequest) -> AggregateMetrics:
        """Statistics over finished rollouts. Override it to ask the environment for its own."""
        return aggregate_metrics(
            body.verify_responses, compute_metrics=self.compute_metrics, get_key_metrics=self.get_key_metrics
        )

    async def metrics_mode(self) -> MetricsMode:
        """`GET /metrics_mode`: whether the metrics are the default ones, which a collector computes by itself."""
        cls, base = type(self), SimpleResponsesAPIAgent
        is_default = (
            cls.aggregate_metrics is base.aggregate_metrics
            and cls.compute_metrics is base.compute_metrics
            and cls.get_key_metrics is base.get_key_metrics
        )
        return MetricsMode.DEFAULT if is_default else MetricsMode.OWN

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/run")(self.run)
        app.post("/v1/responses")(self.responses)
        app.post("/aggregate_metrics")(self.aggregate_metrics)
        app.get("/metrics_mode")(self.metrics_mode)
        return app
