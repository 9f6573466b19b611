"""One episode of frozen_lake: Gymnasium's own game, several moves a turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

from nemo_gym.environments import Environment, StepResult
from nemo_gym.parsers.actions import Actions, read_actions
from nemo_gym.parsers.json_text import parse_json
from nemo_gym.parsers.tags import last_tag
from nemo_gym.schemas.responses import FunctionCall, Response
from resources_servers.frozen_lake.board import ACTIONS, Layout, Observation, describe

TOOL = "move"


@dataclass(frozen=True)
class Rules:
    """What bounds an episode, and how it is shown."""

    max_turns: int
    max_actions_per_turn: int
    max_actions: int
    format_penalty: float
    layout: Layout
    observation: Observation


class FrozenLake(Environment):
    """Moves come as `<answer>Right || Down</answer>`, or as calls of the tool `move`."""

    def __init__(self, board: list[str], *, is_slippery: bool, seed: int, rules: Rules) -> None:
        self.board, self.rules = board, rules
        self.game = FrozenLakeEnv(desc=board, is_slippery=is_slippery)
        self.position, _ = self.game.reset(seed=seed)
        self.num_turns = self.num_actions = self.num_bad_formats = 0
        self.success = self.fell = False

    async def step(self, response: Response) -> StepResult:
        self.num_turns += 1
        calls = [call for call in response.function_calls if call.name == TOOL]
        if calls:
            asked, outputs = self._called(calls)
        else:
            asked, outputs = self._written(response.output_text), {}
        reward = self._play(asked.names)
        if not asked.well_formed:
            self.num_bad_formats += 1
            reward -= self.rules.format_penalty
        truncated = not self._ended and (
            self.num_turns >= self.rules.max_turns or self.num_actions >= self.rules.max_actions
        )
        info = {"success": self.success, "bad_format": not asked.well_formed, "num_actions": len(asked.names)}
        return StepResult(
            observation=None if self._ended or truncated else self._observation(asked, bool(calls)),
            reward=reward,
            terminated=self._ended,
            truncated=truncated,
            tool_outputs=outputs,
            info=info,
        )

    @property
    def _ended(self) -> bool:
        return self.success or self.fell

    def _play(self, names: tuple[str, ...]) -> float:
        """Make the moves until the game ends or no more are allowed; the game's reward."""
        total = 0.0
        for name in names[: self.rules.max_actions - self.num_actions]:
            self.position, reward, terminated, _, _ = self.game.step(ACTIONS.index(name))
            self.num_actions += 1
            total += float(reward)
            if terminated:
                self.success = reward > 0
                self.fell = not self.success
                break
        return total

    def _written(self, text: str) -> Actions:
        answer = last_tag(text, "answer")
        if answer is None:
            return Actions(())
        return read_actions(answer, ACTIONS, max_actions=self.rules.max_actions_per_turn)

    def _called(self, calls: list[FunctionCall]) -> tuple[Actions, dict[str, str]]:
        """The moves that the calls ask for, and what each call is answered."""
        directions = [_direction(call) for call in calls]
        asked = read_actions(" || ".join(directions), ACTIONS, max_actions=self.rules.max_actions_per_turn)
        outputs = {}
        for index, call in enumerate(calls):
            outputs[call.call_id] = "done" if index < len(asked.names) else self._complaint(asked)
        return asked, outputs

    def _observation(self, asked: Actions, by_tool: bool) -> str:
        said = [] if asked.well_formed or by_tool else [self._complaint(asked)]
        said.append(describe(self.board, self.position, self.rules.layout, self.rules.observation))
        turns = self.rules.max_turns - self.num_turns
        said.append(f"Turns left: {turns}. Moves left: {self.rules.max_actions - self.num_actions}.")
        return "\n".join(said)

    def _complaint(self, asked: Actions) -> str:
        if asked.unknown is not None:
            return f"`{asked.unknown}` is no move: use {', '.join(ACTIONS)}. Nothing after it was done."
        if asked.num_dropped:
            return f"Only {self.rules.max_actions_per_turn} moves a turn are allowed; the rest was not done."
        return "Say your moves as <answer>Right || Down</answer>."

    def report(self) -> dict[str, Any]:
        penalty = -self.rules.format_penalty * self.num_bad_formats
        return {
            "success": self.success,
            "num_actions": self.num_actions,
            "reward_components": {"game": sum(self.turn_rewards) - penalty, "format": penalty},
        }


def _direction(call: FunctionCall) -> str:
    """The direction that a call names; what is none is left for the reader of actions to refuse."""
    try:
        arguments = parse_json(call.arguments)
    except ValueError:
        return "?"
    direction = arguments.get("direction") if isinstance(arguments, dict) else None
    return direction.replace("||", " ") if isinstance(direction, str) and direction.strip() else "?"
