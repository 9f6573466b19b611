"""Environment: one episode that talks back, and what it answers to one turn of the policy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nemo_gym.schemas.episode import BaseStepResponse, Observation
from nemo_gym.schemas.responses import Response


@dataclass(frozen=True)
class StepResult:
    """What the environment made of one model call."""

    observation: Observation = None
    """What it says next: text is one user message, else input items; None: nothing new."""
    reward: float = 0.0
    """The reward of this turn alone; finite."""
    terminated: bool = False
    """The task came to its end: reached, failed or given up."""
    truncated: bool = False
    """A limit ended the episode, for example `max_turns`."""
    tool_outputs: dict[str, str] = field(default_factory=dict)
    """Output by `call_id`, for tool calls that the environment answers itself."""
    info: dict[str, Any] = field(default_factory=dict)
    """Plain JSON, kept with the turn in the rollout: `success`, `bad_format`, ..."""

    @property
    def done(self) -> bool:
        return self.terminated or self.truncated

    def to_body(self) -> BaseStepResponse:
        """The answer of `POST /step`."""
        info = dict(self.info)
        if self.tool_outputs:
            info["tool_outputs"] = [{"call_id": key, "output": text} for key, text in self.tool_outputs.items()]
        return BaseStepResponse(
            observation=self.observation,
            reward=self.reward,
            terminated=self.terminated,
            truncated=self.truncated,
            info=info,
        )


class Environment:
    """One episode. Made for each session, never shared: its attributes are the episode's state.

    Calls come in this order, never two at once: `reset()` once, `step()` after each model call until it says
    `terminated` or `truncated` or the agent stops, `final_reward()` and `report()` at `/verify`, `close()` once,
    whatever happened. The same row and the same answers must give the same observations and rewards: seed what is
    random by the row.
    """

    turn_rewards: list[float]
    """Rewards of the steps so far. Kept by the server; present from `reset()` on."""

    async def reset(self) -> Observation:
        """Begin. What is returned is said to the policy before its first turn; None where the row's input says all."""
        return None

    async def step(self, response: Response) -> StepResult:
        """Judge and answer one model call; `response` is that call's alone.

        An exception is a failure of the rollout, never a reward.
        """
        raise NotImplementedError(f"{type(self).__name__} must define step()")

    async def final_reward(self) -> float:
        """The episode's reward at `/verify`: the sum of its turns' rewards unless overridden."""
        return sum(self.turn_rewards)

    def report(self) -> dict[str, Any]:
        """Fields of the verify answer beside `reward`, for example `{"success": True}`. Plain JSON."""
        return {}

    async def close(self) -> None:
        """Free what the episode holds. Also called when it was broken off."""
