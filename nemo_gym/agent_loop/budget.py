"""What an episode may use up."""

from __future__ import annotations

import time
from dataclasses import dataclass

from nemo_gym.schemas.rollout import StopReason


@dataclass(frozen=True)
class Budget:
    """Limits that are checked before each model call; None means no limit."""

    max_steps: int | None = None
    """Model calls."""
    max_turns: int | None = None
    """Turns of an environment that talks back: calls of its `/step`."""
    max_total_tokens: int | None = None
    """Length of the conversation, in tokens: prompt and output of the last model call."""
    max_tool_calls: int | None = None
    time_limit_s: float | None = None
    """Seconds since the episode began."""

    def used_up(
        self, *, steps: int, turns: int, total_tokens: int, tool_calls: int, started: float
    ) -> StopReason | None:
        """The limit that forbids another model call; `started` is by the monotonic clock."""
        if self.max_steps is not None and steps >= self.max_steps:
            return StopReason.MAX_STEPS
        if self.max_turns is not None and turns >= self.max_turns:
            return StopReason.MAX_TURNS
        if self.max_total_tokens is not None and total_tokens >= self.max_total_tokens:
            return StopReason.MAX_TOTAL_TOKENS
        if self.max_tool_calls is not None and tool_calls >= self.max_tool_calls:
            return StopReason.MAX_TOOL_CALLS
        if self.time_limit_s is not None and time.monotonic() - started >= self.time_limit_s:
            return StopReason.TIME_LIMIT
        return None
