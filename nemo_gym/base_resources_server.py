"""What authors of an environment subclass: a resources server holds its tools, its state and its reward."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, TypeVar

from fastapi import FastAPI
from pydantic import Field, PrivateAttr, field_validator

from nemo_gym.config_types import BaseServerConfig
from nemo_gym.errors import LaunchError
from nemo_gym.metrics.aggregate import aggregate_metrics, default_key_metrics
from nemo_gym.schemas.episode import (
    AggregateMetrics,
    AggregateMetricsRequest,
    BaseMultiRewardVerifyResponse,
    BaseRunRequest,
    BaseSeedSessionRequest,
    BaseSeedSessionResponse,
    BaseVerifyRequest,
    BaseVerifyResponse,
    MetricsMode,
    ReverifyMode,
)
from nemo_gym.schemas.responses import Response as NeMoGymResponse
from nemo_gym.serving.app import SimpleServer
from nemo_gym.serving.executor import CpuExecutor
from nemo_gym.serving.in_flight import waiting_for

__all__ = [
    "AggregateMetrics",
    "AggregateMetricsRequest",
    "BaseMultiRewardVerifyResponse",
    "BaseResourcesServerConfig",
    "BaseRunRequest",
    "BaseSeedSessionRequest",
    "BaseSeedSessionResponse",
    "BaseVerifyRequest",
    "BaseVerifyResponse",
    "NeMoGymResponse",
    "ReverifyMode",
    "SimpleResourcesServer",
]

T = TypeVar("T")

OLDEST_MCP_SDK = 2
"""Major version of the package `mcp`, as in the extra `nemo-gym[mcp]`."""


class BaseResourcesServerConfig(BaseServerConfig):
    """The configuration of a resources server. Subclass it to add keys."""

    cpu_workers: int | None = None
    """Child processes that `run_cpu` uses at most; None: as many as there are cores."""
    cpu_memory_bytes: int | None = Field(default=None, gt=0)
    """Memory that each of them may take; None: its share of this machine's."""
    mcp: bool = False
    """Whether the tools are offered over MCP too, at `/mcp`. Needs `pip install "nemo-gym[mcp]"`."""

    @field_validator("mcp")
    @classmethod
    def _sdk_is_installed(cls, mcp: bool) -> bool:
        if mcp:
            _require_mcp_sdk()
        return mcp


class SimpleResourcesServer(SimpleServer):
    """One environment. Override `verify()`; add tools as `app.post("/name")(self.name)` in `setup_webserver()`.

    In the course of a rollout the agent calls `/seed_session` once, then the tools that the model asks for, each as
    `POST /<tool name>` with the call's arguments, then `/verify` once. All carry the same session: a handler that takes
    `request: Request` finds its dict in `request.session`, with the session's id under `SESSION_ID_KEY`.
    A handler that raises is a failure of the rollout (or, in a tool, error text for the model), never a reward.
    """

    config: BaseResourcesServerConfig

    session_ends_after: ClassVar[frozenset[str]] = frozenset({"/verify", "/close", "/aggregate_metrics"})
    keeps_empty_sessions: ClassVar[bool] = True
    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.UNKNOWN
    """Whether stored rollouts can be scored again without model calls. Set it to `STATELESS` if `verify()` needs
    nothing but its request."""

    _cpu: CpuExecutor | None = PrivateAttr(default=None)

    async def seed_session(self, body: BaseSeedSessionRequest) -> BaseSeedSessionResponse:
        """Start a session from the task row. Called once per rollout, first. May take `request: Request` too."""
        return BaseSeedSessionResponse()

    async def verify(self, body: BaseVerifyRequest) -> BaseVerifyResponse:
        """Score a finished episode. Called once per rollout, last. May take `request: Request` too.

        Return the request's fields and a finite `reward`. Where no reward can be given, raise: a failure is recorded.
        """
        raise NotImplementedError(f"{type(self).__name__} must define verify()")

    async def close(self) -> Any:
        """`POST /close`: end the session without a score, as when the rollout failed. May take `request: Request`."""
        return {"status": "closed"}

    def compute_metrics(self, tasks: list[list[dict[str, Any]]]) -> dict[str, Any]:
        """Metrics of your own over all rollouts, added to the standard ones. `tasks[i][j]`: rollout j of task i."""
        return {}

    def get_key_metrics(self, agent_metrics: dict[str, Any]) -> dict[str, Any]:
        """The few metrics that one looks at first, chosen from all of them."""
        return default_key_metrics(agent_metrics)

    async def aggregate_metrics(self, body: AggregateMetricsRequest) -> AggregateMetrics:
        """Statistics over finished rollouts. Called by the collector when a run is done."""
        return aggregate_metrics(
            body.verify_responses, compute_metrics=self.compute_metrics, get_key_metrics=self.get_key_metrics
        )

    async def metrics_mode(self) -> MetricsMode:
        """`GET /metrics_mode`: whether the metrics are the default ones, which a collector computes by itself."""
        cls, base = type(self), SimpleResourcesServer
        is_default = (
            cls.aggregate_metrics is base.aggregate_metrics
            and cls.compute_metrics is base.compute_metrics
            and cls.get_key_metrics is base.get_key_metrics
        )
        return MetricsMode.DEFAULT if is_default else MetricsMode.OWN

    async def run_cpu(self, function: Callable[..., T], *args: object, timeout_s: float = 60.0) -> T:
        """`function(*args)` in a child process: for scoring that takes more than a few milliseconds.

        `function` is a plain function of a module; arguments and result can be pickled. Raises `SandboxError` after
        `timeout_s` seconds, or where it wants too much memory; the process is killed, with all that it started.
        """
        if self._cpu is None:
            self._cpu = CpuExecutor(self.config.cpu_workers, self.config.cpu_memory_bytes)
        with waiting_for("a child process", function.__qualname__):
            return await self._cpu.run(function, *args, timeout_s=timeout_s)

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/seed_session")(self.seed_session)
        app.post("/verify")(self.verify)
        app.post("/close")(self.close)
        app.post("/aggregate_metrics")(self.aggregate_metrics)
        app.get("/metrics_mode")(self.metrics_mode)
        app.get("/reverify_mode")(self._reverify_mode)
        if self.config.mcp:
            # Imported here: loading the SDK takes a second, which only who asks for it shall wait.
            from nemo_gym.serving.mcp import McpMiddleware

            app.add_middleware(McpMiddleware, owner=app, name=self.config.name, store=self._sessions)
        return app

    async def startup(self) -> None:
        if type(self).verify is SimpleResourcesServer.verify:
            raise LaunchError(f"{type(self).__name__} must define `verify()`, which gives an episode its reward")
        await super().startup()

    async def shutdown(self) -> None:
        if self._cpu is not None:
            self._cpu.close()
        await super().shutdown()

    async def _reverify_mode(self) -> str:
        return self.reverify_mode.value


def _require_mcp_sdk() -> None:
    """Raises `ValueError`, saying what to install, where the MCP SDK is absent or older than what is used of it."""
    try:
        installed = version("mcp")
    except PackageNotFoundError:
        raise ValueError('the MCP SDK is not installed; run `pip install "nemo-gym[mcp]"`') from None
    if int(installed.partition(".")[0]) < OLDEST_MCP_SDK:
        raise ValueError(f'the MCP SDK {installed} is too old; run `pip install "nemo-gym[mcp]"`')
