"""ScriptedUser: a user whose turns stand in the task row."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nemo_gym.environments.users.user import UserReply


class ScriptedTurn(BaseModel):
    """One turn of the script, said under a condition."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    say: str
    when_contains: str | list[str] | None = None
    """Said only where the policy's message contains this, or one of these; upper and lower case are the same."""
    otherwise: str | None = Field(default=None, alias="else")
    """Said in its place; without it the turn is left out and the next one is tried."""
    wait: bool = False
    """Whether the user says `else` again and again until the condition is met, instead of going on."""

    @model_validator(mode="after")
    def _conditions_make_sense(self) -> ScriptedTurn:
        if self.when_contains is None and (self.otherwise is not None or self.wait):
            raise ValueError("`else` and `wait` need `when_contains`")
        if self.wait and self.otherwise is None:
            raise ValueError("`wait` needs `else`: what the user says meanwhile")
        if self.when_contains is not None and "" in (self.when_contains, *self.when_contains):
            raise ValueError("`when_contains` is empty, which every message contains")
        return self

    def is_met_by(self, said: str) -> bool:
        if self.when_contains is None:
            return True
        wanted = [self.when_contains] if isinstance(self.when_contains, str) else self.when_contains
        heard = said.casefold()
        return any(text.casefold() in heard for text in wanted)


UserTurn = str | ScriptedTurn
"""A turn of a script as a row holds it: text, or text under a condition."""


class ScriptedUser:
    """Says the turns of a script, one for each message of the policy; `done` when there is none left."""

    def __init__(self, turns: Sequence[UserTurn]) -> None:
        self._turns = [ScriptedTurn(say=turn) if isinstance(turn, str) else turn for turn in turns]
        self._next = 0

    async def reply(self, said: str) -> UserReply:
        while self._next < len(self._turns):
            turn = self._turns[self._next]
            met = turn.is_met_by(said)
            if met or not turn.wait:
                self._next += 1
            if met:
                return UserReply(turn.say)
            if turn.otherwise is not None:
                return UserReply(turn.otherwise)
        return UserReply(None, done=True)
