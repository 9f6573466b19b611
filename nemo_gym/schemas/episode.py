"""Bodies of an episode: what an agent sends to a resources server and gets back (seed, verify, aggregate)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from nemo_gym.schemas.responses import Response, ResponseCreateParams

SERVER_ROUTES = frozenset(
    {
        "aggregate_metrics",
        "close",
        "docs",
        "in_flight",
        "mcp",
        "metrics",
        "metrics_mode",
        "openapi.json",
        "redoc",
        "reset",
        "reverify_mode",
        "run",
        "seed_session",
        "step",
        "verify",
    }
)
"""Routes of the server itself: no tool may have such a name, so that a model can never reach them."""

Observation = str | list[dict[str, Any]] | None
"""What an environment says to the policy: text is one user message, else input items; None: nothing new."""

_REWARD_FIELDS = frozenset({"reward", "reward_components"})


class Envelope(BaseModel):
    """An open body: fields that an environment adds travel along and come back unchanged."""

    model_config = ConfigDict(extra="allow", defer_build=True)


class BaseSeedSessionRequest(Envelope):
    """`POST /seed_session`: the task row. Subclass it to name the fields that your environment needs."""


class BaseSeedSessionResponse(Envelope):
    """The answer of `POST /seed_session`. Subclasses add fields."""


class BaseRunRequest(Envelope):
    """`POST /run` of an agent: one task row."""

    responses_create_params: ResponseCreateParams


class BaseVerifyRequest(BaseRunRequest):
    """`POST /verify`: the task row and what the policy answered.

    A stored result may be sent again: the reward it had is left out, so that it never collides with the new one.
    """

    response: Response

    @model_validator(mode="before")
    @classmethod
    def _forget_an_earlier_reward(cls, data: Any) -> Any:
        is_answer = "reward" in cls.model_fields
        if is_answer or not isinstance(data, dict) or not _REWARD_FIELDS & data.keys():
            return data
        return {key: value for key, value in data.items() if key not in _REWARD_FIELDS}


class BaseResetResponse(Envelope):
    """The answer of `POST /reset`, whose body is the task row."""

    observation: Observation = None
    info: dict[str, Any] = Field(default_factory=dict)


class BaseStepRequest(Envelope):
    """`POST /step`: the task row, and the answer of the latest model call."""

    response: Response


class BaseStepResponse(Envelope):
    """The answer of `POST /step`: what the environment made of one model call."""

    observation: Observation = None
    reward: FiniteFloat = 0.0
    """The reward of this turn alone."""
    terminated: bool = False
    """The task came to its end: reached, failed or given up."""
    truncated: bool = False
    """A limit of the environment ended the episode."""
    info: dict[str, Any] = Field(default_factory=dict)
    """Kept with the turn; `tool_outputs: [{call_id, output}]` in it answers tool calls of the model."""


class BaseVerifyResponse(BaseVerifyRequest):
    """The answer of `POST /verify`: the request echoed back, with the reward."""

    reward: FiniteFloat


class BaseMultiRewardVerifyResponse(BaseVerifyResponse):
    """A reward of several parts, which sum to `reward`."""

    reward_components: dict[str, float]

    @model_validator(mode="after")
    def _components_sum_to_reward(self) -> Self:
        total = sum(self.reward_components.values())
        if abs(total - self.reward) > 1e-6 * max(1.0, abs(self.reward)):
            raise ValueError(f"reward_components sum to {total}, reward is {self.reward}: they must be equal")
        return self


class AggregateMetricsRequest(BaseModel):
    """`POST /aggregate_metrics`: finished verify answers; long fields (`response.output`) may be left out of them."""

    verify_responses: list[dict[str, Any]]


class AggregateMetrics(BaseModel):
    """The answer of `POST /aggregate_metrics`."""

    group_level_metrics: list[dict[str, Any]] = Field(default_factory=list)
    """One entry per task, in order of task index: its rollouts' statistics."""
    agent_metrics: dict[str, Any] = Field(default_factory=dict)
    """Statistics over all rollouts, keyed `mean/reward`, `pass@1/reward`, ..."""
    key_metrics: dict[str, Any] = Field(default_factory=dict)
    """The few of `agent_metrics` that one looks at first."""


class MetricsMode(StrEnum):
    """Who can compute the answer of `POST /aggregate_metrics`. A server that does not say must be asked."""

    DEFAULT = "default"
    """Whoever has the rollouts: the statistics are the default ones."""
    OWN = "own"
    """Only the server: its author defined metrics of its own."""


class ReverifyMode(StrEnum):
    """Whether stored rollouts of an environment can be scored again without model calls."""

    STATELESS = "stateless"
    """`verify()` needs nothing but its request."""
    UNSUPPORTED = "unsupported"
    """`verify()` needs the session's state, which is gone."""
    UNKNOWN = "unknown"
    """The author has not said."""
