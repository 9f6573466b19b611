"""A rollout as the agent reports it and the collector stores it: reserved keys, why it stopped, what failed."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

AGENT_REF = "agent_ref"
TASK_INDEX = "_ng_task_index"
ROLLOUT_INDEX = "_ng_rollout_index"
ATTEMPT_INDEX = "_ng_attempt_index"
ROLLOUT_ID = "_ng_rollout_id"
FAILURE_CLASS = "_ng_failure_class"
FAILURE_TERMINAL = "_ng_failure_terminal"
NO_PERSIST = "_ng_no_persist"
ROLLOUT_ID_HEADER = "x-ng-rollout-id"
"""Header by which an agent tells model and resources servers which rollout a request belongs to."""
FAILURE = "_ng_failure"
"""Key under which a failed result carries a `RolloutFailure`."""


class FailureClass(StrEnum):
    """What went wrong with a rollout. A failure is never a reward."""

    MODEL_ERROR = "model_error"
    MODEL_TIMEOUT = "model_timeout"
    CONTEXT_OVERFLOW = "context_overflow"
    TOOL_ERROR = "tool_error"
    RESOURCES_ERROR = "resources_error"
    VERIFY_ERROR = "verify_error"
    JUDGE_FAILED = "judge_failed"
    AGENT_ERROR = "agent_error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    UNREACHABLE = "unreachable"
    BAD_ROW = "bad_row"


TERMINAL_FAILURES = frozenset({FailureClass.BAD_ROW, FailureClass.CONTEXT_OVERFLOW})
"""Failures that trying again cannot mend."""


class StopReason(StrEnum):
    """What ended an episode."""

    COMPLETED = "completed"
    """The model answered with a message and no tool call."""
    NO_MESSAGE = "no_message"
    """The model's output held neither message nor tool call (reasoning only, or nothing)."""
    INCOMPLETE = "incomplete"
    """The engine set `incomplete_details`, for example because `max_output_tokens` was reached."""
    CONTEXT_OVERFLOW = "context_overflow"
    """The conversation no longer fits the model, and the agent is set to stop there."""
    TERMINATED = "terminated"
    """The environment says that the task came to its end."""
    TRUNCATED = "truncated"
    """The environment says that a limit of its own is reached."""
    MAX_STEPS = "max_steps"
    MAX_TURNS = "max_turns"
    MAX_TOTAL_TOKENS = "max_total_tokens"
    MAX_TOOL_CALLS = "max_tool_calls"
    TIME_LIMIT = "time_limit"
    FAILED = "failed"


class Mode(StrEnum):
    """Which kind of episode a row was run as."""

    SINGLE_TURN = "single_turn"
    MULTI_STEP = "multi_step"
    MULTI_TURN = "multi_turn"


class RolloutFailure(BaseModel):
    """Where a rollout failed and why."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    failure_class: FailureClass
    stage: str
    """`seed_session`, `reset`, `model`, `tool`, `step`, `verify`, `run` or `collect`."""
    server: str | None = None
    """Instance name of the server concerned."""
    message: str
    attempts: int = 1
    terminal: bool = False
    """Whether trying again is useless."""


class Turn(BaseModel):
    """One turn of an episode: one model call and what the environment made of it."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    index: int
    model_call: int
    """Number of the model call within the rollout, from 0."""
    started_at: float
    """Unix time, seconds."""
    duration_s: float
    model_s: float
    """Seconds spent waiting for the model."""
    tools_s: float = 0.0
    """Seconds spent waiting for tools."""
    step_s: float = 0.0
    """Seconds spent waiting for the environment's `/step`."""
    tool_calls: int = 0
    output_items: int = 0
    """How many items of `response.output` belong to this turn: the model's, tool outputs, what the environment said
    (and, in the first turn, what it said before)."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    reward: float | None = None
    """The environment's reward of this turn; None where it scores only the whole episode."""
    terminated: bool = False
    truncated: bool = False
    info: dict[str, Any] = Field(default_factory=dict)
    """What the environment told about this turn beside."""


class Timings(BaseModel):
    """Where a rollout's wall-clock time went, seconds."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    total_s: float = 0.0
    seed_s: float = 0.0
    """`/seed_session` or `/reset`."""
    model_s: float = 0.0
    tools_s: float = 0.0
    step_s: float = 0.0
    verify_s: float = 0.0


class RolloutRecord(BaseModel):
    """What an agent adds to the verify answer (or, for a failure, to the task row) in the answer of `/run`."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    stop_reason: StopReason
    mode: Mode
    mode_reason: str
    """Why this mode was chosen."""
    use_conversation_multi_turn: bool = True
    """Whether the model saw each turn as a message of its own; False: all its turns as one assistant message."""
    turns: list[Turn] = Field(default_factory=list)
    timings: Timings = Field(default_factory=Timings)
    usage: dict[str, Any] | None = None
    """Token counts of all model calls, added up."""
