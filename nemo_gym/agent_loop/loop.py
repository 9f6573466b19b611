"""One episode: model calls, the tool calls they ask for, and what the environment answers, until something stops it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from nemo_gym.agent_loop.budget import Budget
from nemo_gym.agent_loop.conversation import CONTINUE_LAST_MESSAGE, NO_TOOLS_IN_ONE_MESSAGE, one_message
from nemo_gym.agent_loop.environment import RemoteEnvironment, Step
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

    row: dict[str, Any]
    """The task row: at least `responses_create_params`."""
    environment: RemoteEnvironment
    model: Model
    budget: Budget
    parallel_tools: bool = False
    """Whether tool calls of one answer may run side by side. They do so only if the row asks for it too."""
    stop_on_overflow: bool = False
    """Whether a conversation that no longer fits the model is scored as it stands, instead of being a failure."""
    use_environment: bool = True
    """Whether an environment that talks back is played in turns; else its rows are single turns (or tool loops)."""
    use_conversation_multi_turn: bool = True
    """Whether the model sees each turn as a message of its own; else all its turns as one assistant message."""

    mode: Mode = Mode.SINGLE_TURN
    mode_reason: str = "the episode did not begin"
    output: list[Item] = field(default_factory=list)
    """Everything since the row's own input, in order: the model's items and the tools' outputs."""
    turns: list[Turn] = field(default_factory=list)
    timings: Timings = field(default_factory=Timings)
    stop_reason: StopReason = StopReason.FAILED
    _last_response: dict[str, Any] | None = None
    _usage: dict[str, Any] = field(default_factory=dict)
    _total_tokens: int = 0
    _tool_calls: int = 0
    _env_turns: int = 0
    _started: float = field(default_factory=time.monotonic)

    @property
    def params(self) -> dict[str, Any]:
        """The row's request, which each model call extends."""
        params: dict[str, Any] = self.row["responses_create_params"]
        return params

    async def begin(self) -> None:
        """Start the environment's session, as an episode of the kind that server and row make possible."""
        started = time.monotonic()
        tools = len(declared_tools(self.params))
        talks_back = await self.environment.offers_turns()
        if talks_back and self.use_environment:
            self.mode, self.mode_reason = Mode.MULTI_TURN, "the resources server offers /reset and /step"
            self.output += await self.environment.reset(self.row)
        else:
            self.mode = Mode.MULTI_STEP if tools else Mode.SINGLE_TURN
            self.mode_reason = f"the row declares {tools} tools" if tools else "the row declares no tools"
            if talks_back:
                self.mode_reason += ", and the agent's `use_environment` is false"
            await self.environment.seed(self.row)
        self.timings.seed_s = time.monotonic() - started

    async def play(self) -> dict[str, Any]:
        """Call model, tools and environment until the episode ends; returns `response()`. Raises `EpisodeFailure`."""
        declared = declared_tools(self.params)
        base = self.params["input"]
        history: list[Item] = [{"role": "user", "content": base}] if isinstance(base, str) else base
        if not self.use_conversation_multi_turn and declared:
            raise EpisodeFailure(FailureClass.BAD_ROW, "model", NO_TOOLS_IN_ONE_MESSAGE)
        while True:
            over = self.budget.used_up(
                steps=len(self.turns),
                turns=self._env_turns,
                total_tokens=self._total_tokens,
                tool_calls=self._tool_calls,
                started=self._started,
            )
            if over is not None:
                self.stop_reason = over
                return self.response()
            stopped = await self._turn(self._request(history), declared)
            if stopped is not None:
                self.stop_reason = stopped
                return self.response()

    def _request(self, history: list[Item]) -> dict[str, Any]:
        """The next model call's request."""
        if self.use_conversation_multi_turn or not self.turns:
            return {**self.params, "input": history + self.output}
        return {**self.params, **CONTINUE_LAST_MESSAGE, "input": history + one_message(self.output)}

    async def _turn(self, request: dict[str, Any], declared: frozenset[str]) -> StopReason | None:
        """One model call, its tool calls, and the environment's answer; the reason to stop, if there is one."""
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
        usage = response.get("usage") or {}
        self._last_response = response
        _add_usage(self._usage, usage)
        self._total_tokens = usage.get("total_tokens") or self._total_tokens
        self.output += items
        turn = Turn(
            index=len(self.turns),
            model_call=len(self.turns),
            started_at=wall,
            duration_s=answered - started,
            model_s=answered - started,
            # What the environment said before the first turn counts to it.
            output_items=len(self.output) if not self.turns else len(items),
            input_tokens=usage.get("input_tokens"),
            output_tokens=usage.get("output_tokens"),
        )
        self.turns.append(turn)
        self.timings.model_s += turn.model_s
        if response.get("incomplete_details"):
            return StopReason.INCOMPLETE
        calls = [item for item in items if item.get("type") == "function_call"]
        stopped = await self._answer(turn, response, calls, declared)
        turn.duration_s = time.monotonic() - started
        return stopped

    async def _answer(
        self, turn: Turn, response: dict[str, Any], calls: list[Item], declared: frozenset[str]
    ) -> StopReason | None:
        """What comes after a complete model call: the outputs of its tool calls, and the environment's turn."""
        if not calls and not any(item.get("type", "message") == "message" for item in response["output"]):
            return StopReason.NO_MESSAGE
        started = time.monotonic()
        outputs = await self._run_tools(calls, declared)
        turn.tools_s = time.monotonic() - started
        self.timings.tools_s += turn.tools_s
        turn.tool_calls = len(calls)
        self._tool_calls += len(calls)
        answered = [item for item in outputs if item is not None]
        stopped = None if calls else StopReason.COMPLETED
        if self.mode is Mode.MULTI_TURN and len(answered) == len(calls) > 0:
            stopped = None  # the policy is still at work; it is the environment's turn when it says something
        elif self.mode is Mode.MULTI_TURN:
            step = await self._step(turn, response)
            pairs = zip(calls, outputs, strict=True)
            answered = [output or output_item(call, step.tool_outputs.get(call["call_id"])) for call, output in pairs]
            answered += step.observation
            stopped = StopReason.TERMINATED if step.terminated else StopReason.TRUNCATED if step.truncated else None
        self.output += answered
        turn.output_items += len(answered)
        return stopped

    async def _step(self, turn: Turn, response: dict[str, Any]) -> Step:
        """The environment's part of a turn."""
        started = time.monotonic()
        step = await self.environment.step(self.row, response)
        turn.step_s = time.monotonic() - started
        self.timings.step_s += turn.step_s
        self._env_turns += 1
        turn.reward, turn.terminated, turn.truncated, turn.info = (
            step.reward,
            step.terminated,
            step.truncated,
            step.info,
        )
        return step

    async def _run_tools(self, calls: list[Item], declared: frozenset[str]) -> list[Item | None]:
        """The outputs of the calls, in the order of the calls; None where the environment's step is to answer it."""
        if len(calls) > 1 and self.parallel_tools and self.params.get("parallel_tool_calls"):
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._run_tool(call, declared)) for call in calls]
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None
            return [task.result() for task in tasks]
        return [await self._run_tool(call, declared) for call in calls]

    async def _run_tool(self, call: Item, declared: frozenset[str]) -> Item | None:
        arguments = check_call(call, declared)
        if isinstance(arguments, str):
            return output_item(call, arguments)
        if self.mode is Mode.MULTI_TURN and not await self.environment.offers_tool(call["name"]):
            return None
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
        return RolloutRecord(
            stop_reason=self.stop_reason,
            mode=self.mode,
            mode_reason=self.mode_reason,
            use_conversation_multi_turn=self.use_conversation_multi_turn,
            turns=self.turns,
            timings=self.timings,
            usage=self._usage or None,
        ).model_dump(mode="json")


async def run_rollout(episode: Episode) -> dict[str, Any]:
    """Begin, play, verify: the answer of `/run`. Failures are part of the answer; the session is freed in any case."""
    environment, row = episode.environment, episode.row
    try:
        await episode.begin()
        response = await episode.play()
        started = time.monotonic()
        verified = await environment.verify({**row, "response": response})
        episode.timings.verify_s = time.monotonic() - started
        # The row's request and the response are given back exactly as they were sent, not as the server re-wrote them.
        own = {"responses_create_params": row["responses_create_params"], "response": response}
        return {**row, **verified, **own, **episode.record()}
    except EpisodeFailure as failure:
        return failed_rollout(episode, failure.failure)
    finally:
        await asyncio.shield(asyncio.ensure_future(environment.close()))


def failed_rollout(episode: Episode, failure: RolloutFailure) -> dict[str, Any]:
    """The answer of `/run` for an episode that failed: the row, what happened until then, and no reward."""
    episode.stop_reason = StopReason.FAILED
    partial = {"response": episode.response()} if episode.turns else {}
    return {
        **episode.row,
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
