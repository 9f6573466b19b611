"""Environments as `is_completed()` and `env_response()` over a list of chat messages, scored by a rubric at the end."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from nemo_gym.converters import to_chat_messages
from nemo_gym.environments.environment import Environment, StepResult
from nemo_gym.environments.step_reset import called
from nemo_gym.errors import EnvironmentCodeError
from nemo_gym.schemas.episode import BaseRunRequest, Observation
from nemo_gym.schemas.responses import Response

Message = dict[str, Any]
"""A chat message: `role`, `content`, and `tool_calls` or `tool_call_id` where there are any."""
State = dict[str, Any]
"""What an episode remembers: `prompt`, `completion`, `turn`, the row's fields, and whatever the environment adds."""
RewardFunction = Callable[..., Any]


class Rubric:
    """The weighted sum of reward functions, computed when the episode ends.

    A function takes, by name, any of `prompt`, `completion` (chat messages), `answer`, `state`, `info`, and the row's
    other fields; it returns a number, and may be async.
    """

    def __init__(self, funcs: Sequence[RewardFunction] = (), weights: Sequence[float] | None = None) -> None:
        if weights is not None and len(weights) != len(funcs):
            raise ValueError(f"a rubric of {len(funcs)} functions has {len(weights)} weights")
        self.funcs, self.weights = list(funcs), list(weights or [1.0] * len(funcs))

    async def score(self, state: State) -> dict[str, float]:
        """Weighted reward by name of the function. They sum to the reward."""
        components: dict[str, float] = {}
        for function, weight in zip(self.funcs, self.weights, strict=True):
            name = function.__name__
            value = await called(function, **_accepted(function, {**state, "state": state}))
            if isinstance(value, bool):
                value = float(value)
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise EnvironmentCodeError(f"the reward function {name}() must return a finite number, got {value!r}")
            components[name] = components.get(name, 0.0) + weight * value
        return components


class MultiTurnEnv:
    """One episode. Override `is_completed()` and `env_response()`, and give a rubric.

    After each model call the policy's message is appended to `messages`; then `is_completed()` says whether that was
    the end, else `env_response()` answers. `max_turns` model calls end the episode too (truncated).
    """

    def __init__(self, rubric: Rubric | None = None, max_turns: int = 10) -> None:
        self.rubric, self.max_turns = rubric or Rubric(), max_turns

    def is_completed(self, messages: list[Message], state: State, **kwargs: Any) -> bool:
        raise NotImplementedError(f"{type(self).__name__} must define is_completed()")

    def env_response(self, messages: list[Message], state: State, **kwargs: Any) -> Any:
        """The environment's messages, and the state: `([{"role": "user", "content": ...}], state)`."""
        raise NotImplementedError(f"{type(self).__name__} must define env_response()")


class SingleTurnEnv(MultiTurnEnv):
    """One answer, scored by the rubric."""

    def is_completed(self, messages: list[Message], state: State, **kwargs: Any) -> bool:
        return True


@runtime_checkable
class EnvResponse(Protocol):
    """Any class of that form, whatever it inherits from."""

    rubric: Any
    max_turns: int

    def is_completed(self, messages: list[Message], state: State) -> Any: ...
    def env_response(self, messages: list[Message], state: State) -> Any: ...


class EnvResponseEpisode(Environment):
    """A class of that form as an `Environment`."""

    def __init__(self, inner: EnvResponse, row: BaseRunRequest) -> None:
        self._inner = inner
        prompt = _chat(row.responses_create_params.input)
        fields = row.model_dump(exclude_unset=True, exclude={"responses_create_params", "response"})
        self._state: State = {"answer": None, "info": {}, **fields, "prompt": prompt, "completion": [], "turn": 0}
        self._components: dict[str, float] = {}

    async def step(self, response: Response) -> StepResult:
        state = self._state
        state["completion"] += _chat(response.output)
        state["turn"] += 1
        messages = [*state["prompt"], *state["completion"]]
        if await called(self._inner.is_completed, messages, state):
            return StepResult(reward=await self._reward(), terminated=True)
        if state["turn"] >= self._inner.max_turns:
            return StepResult(reward=await self._reward(), truncated=True)
        answer = await called(self._inner.env_response, messages, state)
        said, new_state = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, state)
        if not isinstance(said, list) or not isinstance(new_state, dict):
            name = type(self._inner).__name__
            raise EnvironmentCodeError(f"{name}: env_response() must return (messages, state), got {answer!r:.100}")
        self._state = new_state
        new_state["completion"] += said
        observation, outputs = _items(said)
        return StepResult(observation=observation, tool_outputs=outputs)

    async def _reward(self) -> float:
        self._components = await self._inner.rubric.score(self._state)
        return sum(self._components.values())

    def report(self) -> dict[str, Any]:
        return {"reward_components": self._components} if self._components else {}


def _chat(items: Any) -> list[Message]:
    return [message.model_dump(exclude_none=True) for message in to_chat_messages(items)]


def _items(messages: list[Message]) -> tuple[Observation, dict[str, str]]:
    """Chat messages of an environment as input items, and the outputs of tool calls among them by `call_id`."""
    outputs = {str(said["tool_call_id"]): str(said["content"]) for said in messages if said.get("role") == "tool"}
    items = [
        {"role": said.get("role", "user"), "content": said["content"]}
        for said in messages
        if said.get("role") != "tool"
    ]
    return items or None, outputs


def _accepted(function: RewardFunction, values: dict[str, Any]) -> dict[str, Any]:
    """Of `values`, those that the function has parameters for."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return values
    return {parameter.name: values[parameter.name] for parameter in parameters if parameter.name in values}
