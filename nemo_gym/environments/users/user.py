"""User: who the policy talks to. Whatever plays it, an environment asks it for a reply in each turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from nemo_gym.converters import split_think_tags
from nemo_gym.environments.environment import StepResult
from nemo_gym.schemas.responses import Response


@dataclass(frozen=True)
class UserReply:
    """What the user makes of the policy's last message."""

    text: str | None
    """What the user says; None: nothing more."""
    done: bool = False
    """The user ends the conversation: satisfied, or at the end of the script, or gone."""
    out_of_budget: bool = False
    """A limit of the user's own ended it."""
    usage: dict[str, int] = field(default_factory=dict)
    """Tokens that a model spent on this reply; empty where none played the user. Never the policy's."""

    def step_result(self, reward: float = 0.0, info: Mapping[str, Any] | None = None) -> StepResult:
        """The turn of an environment that has nothing to add: the user's words, its end, and `info.user_usage`."""
        spent = {"user_usage": self.usage} if self.usage else {}
        return StepResult(
            observation=self.text,
            reward=reward,
            terminated=self.done,
            truncated=self.out_of_budget and not self.done,
            info={**(info or {}), **spent},
        )


class User(Protocol):
    """One user in one episode."""

    async def reply(self, said: str) -> UserReply:
        """Answer what the policy said. Not called again after a reply that is `done` or `out_of_budget`."""
        ...


def heard_by_user(response: Response) -> str:
    """What of a model call reaches the user: its messages, without reasoning, `<think>` at their beginning included."""
    return split_think_tags(response.output_text)[1].strip()
