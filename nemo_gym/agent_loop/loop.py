"""One episode: model calls and the tool calls they ask for, until something stops it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from nemo_gym.agent_loop.budget import Budget
from nemo_gym.agent_loop.environment import RemoteEnvironment
from nemo_gym.agent_loop.failure import EpisodeFailure
from nemo_gym.agent_loop.model import Model
from nemo_gym.agent_loop.tool_calls import check_call, declared_tools, output_item
from nemo_gym.schemas.rollout import (
    FAILURE,
    FAILURE_CLASS,
    FAILURE_TERMINAL,
    FailureClass,
    Mode,
    RolloutFailure,
    RolloutRecord,
    StopReason,
    Timings,
    Turn,
)

Item = dict[str, Any]


@dataclass
class Episode:
    """The course of one episode: what was said, and what it cost. Made per rollout, never shared."""

    params: dict[str, Any]
    """The row's `responses_create_params`."""
    environment: RemoteEnvironment
    model: Model
    budget: Budget
    parallel_tools: bool = False
    """Whether tool calls of one answer may run side by side. They do so only if the row asks for it too."""
    stop_on_overflow: bool = False
    """Whether a conversation that no longer fits the model is scored as it stands, instead of being a failure."""

    output: list[Item] = field(default_factory=list)
    """Everything since the row's own input, in order: the model's items and the tools' outputs."""
    turns: list[Turn] = field(default_factory=list)
    timings: Timings = field(default_factory=Timings)
    stop_reason: StopReason = StopReason.FAILED
    _last_response: dict[str, Any] | None = None
    _usage: dict[str, Any] = field(default_factory=dict)
    _total_tokens: int = 0
    _tool_calls: int = 0
    _started: float = field(default_factory=time.monotonic)

    async def play(self) -> dict[str, Any]:
        """Call model and tools until the episode ends; returns `response()`. Raises `EpisodeFailure`."""
        declared = declared_tools(self.params)
        base = self.params["input"]
        history: list[Item] = [{"role": "user", "content": base}] if isinstance(base, str) else base
        while True:
            over = self.budget.used_up(
                steps=len(self.turns),
                total_tokens=self._total_tokens,
                tool_calls=self._tool_calls,
                started=self._started,
            )
            if over is not None:
                self.stop_reason = over
                return self.response()
            stopped = await self._step({**self.params, "input": history + self.output}, declared)
            if stopped is not None:
                self.stop_reason = stopped
                return self.response()

    async def _step(self, request: dict[str, Any], declared: frozenset[str]) -> StopReason | None:
        """One model call and its tool calls; the reason to stop, if there is one."""
        wall, started = time.time(), time.monotonic()
        try:
            response = await self.model.respond(request)
        except EpisodeFailure as error:
            overflow = error.failure.failure_class is FailureClass.CONTEXT_OVERFLOW
            if overflow and self.stop_on_overflow and self.turns:
                return StopReason.CONTEXT_OVERFLOW
            raise
        answered = time.monotonic()
        items: list[Item] = response["output"]
        calls = [item for item in items if item.get("type") == "function_call"]
        self._last_response = response
        self.output += items
        usage = response.get("usage") or {}
        _add_usage(self._usage, usage)
        self._total_tokens = usage.get("total_tokens") or self._total_tokens
        incomplete = bool(response.get("incomplete_details"))
        outputs = [] if incomplete else await self._run_tools(calls, declared)
        self.output += outputs
        self._tool_calls += len(outputs)
        ended = time.monotonic()
        self.timings.model_s += answered - started
        self.timings.tools_s += ended - answered
        self.turns.append(
            Turn(
                index=len(self.turns),
                model_call=len(self.turns),
                started_at=wall,
                duration_s=ended - started,
                model_s=answered - started,
                tools_s=ended - answered,
                tool_calls=len(outputs),
                output_items=len(items) + len(outputs),
                input_tokens=usage.get("input_tokens"),
                output_tokens=usage.get("output_tokens"),
            )
        )
        if incomplete:
            return StopReason.INCOMPLETE
        if calls:
            return None
        said_something = any(item.get("type", "message") == "message" for item in items)
        return StopReason.COMPLETED if said_something else StopReason.NO_MESSAGE

    async def _run_tools(self, calls: list[Item], declared: frozenset[str]) -> list[Item]:
        """The outputs of the calls, in the order of the calls."""
        if len(calls) > 1 and self.parallel_tools and self.params.get("parallel_tool_calls"):
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._run_tool(call, declared)) for call in calls]
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None
            return [task.result() for task in tasks]
        return [await self._run_tool(call, declared) for call in calls]

    async def _run_tool(self, call: Item, declared: frozenset[str]) -> Item:
        arguments = check_call(call, declared)
        if isinstance(arguments, str):
            return output_item(call, arguments)
        return output_item(call, await self.environment.call_tool(call["name"], arguments))

    def response(self) -> dict[str, Any]:
        """The last model answer, with everything that happened as its output. Without a model call: an empty answer."""
        last = self._last_response or {"id": "resp_none", "object": "response", "created_at": time.time(), "model": ""}
        merged = {**last, "output": self.output, "usage": self._usage or None}
        if self.stop_reason in (StopReason.MAX_STEPS, StopReason.CONTEXT_OVERFLOW):
            merged["incomplete_details"] = {"reason": self.stop_reason.value}
        return merged

    def record(self) -> dict[str, Any]:
        """What happened, as `/run` reports it beside the verify answer."""
        self.timings.total_s = time.monotonic() - self._started
        declared = declared_tools(self.params)
        return RolloutRecord(
            stop_reason=self.stop_reason,
            mode=Mode.MULTI_STEP if declared else Mode.SINGLE_TURN,
            mode_reason=f"the row declares {len(declared)} tools" if declared else "the row declares no tools",
            turns=self.turns,
            timings=self.timings,
            usage=self._usage or None,
        ).model_dump(mode="json")


async def run_rollout(row: dict[str, Any], episode: Episode) -> dict[str, Any]:
    """Seed, play, verify: the answer of `/run`. Failures are part of the answer; the session is freed in any case."""
    environment = episode.environment
    try:
        started = time.monotonic()
        await environment.seed(row)
        episode.timings.seed_s = time.monotonic() - started
        response = await episode.play()
        started = time.monotonic()
        verified = await environment.verify({**row, "response": response})
        episode.timings.verify_s = time.monotonic() - started
        # The row's request and the response are given back exactly as they were sent, not as the server re-wrote them.
        own = {"responses_create_params": row["responses_create_params"], "response": response}
        return {**row, **verified, **own, **episode.record()}
    except EpisodeFailure as failure:
        return failed_rollout(row, episode, failure.failure)
    finally:
        await asyncio.shield(asyncio.ensure_future(environment.close()))


def failed_rollout(row: dict[str, Any], episode: Episode, failure: RolloutFailure) -> dict[str, Any]:
    """The answer of `/run` for an episode that failed: the row, what happened until then, and no reward."""
    episode.stop_reason = StopReason.FAILED
    partial = {"response": episode.response()} if episode.turns else {}
    return {
        **row,
        **partial,
        **episode.record(),
        FAILURE_CLASS: failure.failure_class,
        FAILURE_TERMINAL: failure.terminal,
        FAILURE: failure.model_dump(mode="json"),
    }


def _add_usage(total: dict[str, Any], usage: dict[str, Any]) -> None:
    """Add the counts of one call, nested details included."""
    for key, value in usage.items():
        if isinstance(value, dict):
            _add_usage(total.setdefault(key, {}), value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            total[key] = total.get(key, 0) + value
