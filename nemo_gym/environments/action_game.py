"""ActionGame: a game of named actions, several a turn: `<answer>Right || Down</answer>`, or calls of a tool."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from nemo_gym.environments.environment import Environment, StepResult
from nemo_gym.environments.server import EnvironmentConfig
from nemo_gym.parsers.actions import Actions, read_actions
from nemo_gym.parsers.json_text import parse_json
from nemo_gym.parsers.tags import last_tag
from nemo_gym.schemas.responses import FunctionCall, Response


class ActionGameConfig(EnvironmentConfig):
    """Limits of such a game. What they are stands in the text of the rows too: change both."""

    max_actions_per_turn: int = Field(default=5, ge=1)
    """Actions in one turn at most; those beyond it are not done, and the turn counts as malformed."""
    max_episode_length: int = Field(default=50, ge=1)
    """Actions in an episode at most."""
    format_penalty: float = Field(default=0.1, ge=0)
    """Taken from the reward of a turn without actions in the right form."""


@dataclass(frozen=True)
class GameLimits:
    """What bounds one episode."""

    max_turns: int
    max_actions_per_turn: int
    max_actions: int
    format_penalty: float

    @classmethod
    def of(cls, config: ActionGameConfig, max_turns: int) -> GameLimits:
        return cls(max_turns, config.max_actions_per_turn, config.max_episode_length, config.format_penalty)


class ActionGame(Environment):
    """One episode. Define `act()` and `show()`, and set `ended` and `success` as the game goes.

    A turn's reward is the sum of what its actions earn, less the penalty where it was malformed: without actions, with
    a word that is none, or with more than allowed. What stands before the mistake is done.
    """

    actions: tuple[str, ...]
    """Names of the actions."""
    tool: ClassVar[tuple[str, str]] = ("move", "direction")
    """Name and argument of the tool by which actions may be called instead."""

    def __init__(self, limits: GameLimits) -> None:
        self.limits = limits
        self.ended = self.success = False
        self.num_turns = self.num_actions = self.num_bad_formats = 0

    @abstractmethod
    def act(self, action: str) -> float:
        """Do one action; returns the game's reward for it."""

    @abstractmethod
    def show(self) -> str:
        """What the policy sees after its turn."""

    async def step(self, response: Response) -> StepResult:
        self.num_turns += 1
        calls = [call for call in response.function_calls if call.name == self.tool[0]]
        asked = self._called(calls) if calls else self._written(response.output_text)
        reward, done = 0.0, 0
        for action in asked.names[: self.limits.max_actions - self.num_actions]:
            reward += self.act(action)
            done += 1
            if self.ended:
                break
        self.num_actions += done
        if not asked.well_formed:
            self.num_bad_formats += 1
            reward -= self.limits.format_penalty
        out_of_turns = self.num_turns >= self.limits.max_turns or self.num_actions >= self.limits.max_actions
        return StepResult(
            observation=None if self.ended or out_of_turns else self._observation(asked, bool(calls)),
            reward=reward,
            terminated=self.ended,
            truncated=out_of_turns and not self.ended,
            tool_outputs={
                call.call_id: "done" if index < done else self._undone(asked, index) for index, call in enumerate(calls)
            },
            info={"success": self.success, "bad_format": not asked.well_formed, "num_actions": done},
        )

    def report(self) -> dict[str, Any]:
        penalty = -self.limits.format_penalty * self.num_bad_formats
        return {
            "success": self.success,
            "num_actions": self.num_actions,
            "reward_components": {"game": sum(self.turn_rewards) - penalty, "format": penalty},
        }

    def _written(self, text: str) -> Actions:
        answer = last_tag(text, "answer")
        return Actions(()) if answer is None else self._read(answer)

    def _called(self, calls: list[FunctionCall]) -> Actions:
        return self._read(" || ".join(_argument(call, self.tool[1]) for call in calls))

    def _read(self, text: str) -> Actions:
        return read_actions(text, self.actions, max_actions=self.limits.max_actions_per_turn)

    def _observation(self, asked: Actions, by_tool: bool) -> str:
        said = [] if asked.well_formed or by_tool else [self._complaint(asked)]
        turns, actions = self.limits.max_turns - self.num_turns, self.limits.max_actions - self.num_actions
        return "\n".join([*said, self.show(), f"Turns left: {turns}. Moves left: {actions}."])

    def _undone(self, asked: Actions, index: int) -> str:
        """What a call is told whose action was not done."""
        if index < len(asked.names):
            return "not done: the game was over" if self.ended else "not done: no moves are left"
        return self._complaint(asked)

    def _complaint(self, asked: Actions) -> str:
        if asked.unknown is not None:
            return f"`{asked.unknown}` is no move: use {', '.join(self.actions)}. Nothing after it was done."
        if asked.num_dropped:
            return f"Only {self.limits.max_actions_per_turn} moves a turn are allowed; the rest was not done."
        shown = self.actions[: min(2, self.limits.max_actions_per_turn)]
        return f"Say your moves as <answer>{' || '.join(shown)}</answer>."


def _argument(call: FunctionCall, name: str) -> str:
    """The action that a call names; what is none is left for the reader of actions to refuse."""
    try:
        arguments = parse_json(call.arguments)
    except ValueError:
        return "?"
    action = arguments.get(name) if isinstance(arguments, dict) else None
    return action.replace("||", " ") if isinstance(action, str) and action.strip() else "?"
