"""A conversation in which a running total is kept: the script says what the user adds, each answer is scored."""

from __future__ import annotations

import re
from typing import Any

from nemo_gym.environments import Environment, StepResult
from nemo_gym.environments.users import User, heard_by_user
from nemo_gym.schemas.responses import Response

_TOTAL = re.compile(r"total:\s{0,9}(-?[0-9]{1,9})(?![0-9]|[.,][0-9])", re.IGNORECASE)


class RunningTotal(Environment):
    def __init__(self, user: User, totals: list[int], max_turns: int) -> None:
        self.user, self.totals, self.max_turns = user, totals, max_turns
        self.right: list[bool] = []

    async def step(self, response: Response) -> StepResult:
        said = heard_by_user(response)
        self.right.append(total_in(said) == self.totals[len(self.right)])
        last = len(self.right) == len(self.totals)
        reward = self.worth(len(self.right) - 1) * self.right[-1]
        info = {"right": self.right[-1]}
        if last:
            return StepResult(reward=reward, terminated=True, info=info)
        if len(self.right) >= self.max_turns:
            return StepResult(reward=reward, truncated=True, info=info)
        return (await self.user.reply(said)).step_result(reward, info)

    def worth(self, turn: int) -> float:
        """What a right total earns: the last one half of the reward, the others share the rest."""
        others = len(self.totals) - 1
        if turn < others:
            return 0.5 / others
        return 0.5 if others else 1.0

    def report(self) -> dict[str, Any]:
        return {"right_totals": sum(self.right)}


def total_in(said: str) -> int | None:
    """The last `Total: <number>` of a message; None where there is none."""
    found = _TOTAL.findall(said)
    return int(found[-1]) if found else None
