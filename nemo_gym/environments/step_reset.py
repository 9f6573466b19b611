"""The short form of an environment: a class with `reset()` and `step(response, ground_truth)`, and its adapter."""

from __future__ import annotations

import asyncio
import inspect
import math
from typing import Any, Protocol, runtime_checkable

from nemo_gym.environments.environment import Environment, StepResult
from nemo_gym.errors import EnvironmentCodeError
from nemo_gym.schemas.episode import BaseRunRequest, Observation
from nemo_gym.schemas.responses import Response

Step = tuple[float, Observation, bool]
"""(reward of this turn, next observation or None, whether the episode is over)."""


class BaseEnvironment:
    """One episode in the short form. Override `step()`; count turns in `current_turn`.

    Ordinary methods run in a thread, so that one that waits holds nobody up; `async def` runs on the event loop.
    """

    def __init__(self, max_turns: int = 5) -> None:
        self.max_turns = max_turns
        self.current_turn = 0

    def reset(self) -> Any:
        """Begin; text (or input items) returned here is said to the policy first."""
        self.current_turn = 0

    def step(self, response: str, ground_truth: Any) -> Step:
        """Answer one turn. `response`: the text that the policy wrote; `ground_truth`: see `ground_truth_of`."""
        raise NotImplementedError(f"{type(self).__name__} must define step()")


@runtime_checkable
class StepReset(Protocol):
    """Any class of that form, whatever it inherits from."""

    def reset(self) -> Any: ...
    def step(self, response: str, ground_truth: Any) -> Any: ...


class StepResetEpisode(Environment):
    """A class of the short form as an `Environment`. Its `done` is `terminated`."""

    def __init__(self, inner: StepReset, row: BaseRunRequest) -> None:
        self._inner, self._ground_truth = inner, ground_truth_of(row.model_dump(exclude_unset=True))

    async def reset(self) -> Observation:
        observation = await called(self._inner.reset)
        return self._checked_observation(observation, "reset()")

    async def step(self, response: Response) -> StepResult:
        result = await called(self._inner.step, response.output_text, self._ground_truth)
        if not isinstance(result, tuple) or len(result) != 3:
            raise self._mistake(f"step() must return (reward, observation, done), got {result!r:.100}")
        reward, observation, done = result
        if isinstance(reward, bool) or not isinstance(reward, int | float) or not math.isfinite(reward):
            raise self._mistake(f"the reward of step() must be a finite number, got {reward!r:.100}")
        said = self._checked_observation(observation, "step()")
        return StepResult(observation=said, reward=float(reward), terminated=bool(done))

    def _checked_observation(self, observation: object, where: str) -> Observation:
        if observation is None or isinstance(observation, str):
            return observation
        if isinstance(observation, dict):
            return [observation]
        if isinstance(observation, list) and all(isinstance(item, dict) for item in observation):
            return observation
        raise self._mistake(f"the observation of {where} must be text, input items or None, got {observation!r:.100}")

    def _mistake(self, message: str) -> EnvironmentCodeError:
        return EnvironmentCodeError(f"{type(self._inner).__name__}: {message}")


def ground_truth_of(row: dict[str, Any]) -> Any:
    """What a row says is right: its `ground_truth`, or that in its `reward_spec` or `reward_model`; else the row."""
    for holder in (row, row.get("reward_spec"), row.get("reward_model")):
        if isinstance(holder, dict) and "ground_truth" in holder:
            return holder["ground_truth"]
    return row


async def called(function: Any, *args: object, **kwargs: object) -> Any:
    """The result of the author's function: awaited if it is async, else computed in a thread."""
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
