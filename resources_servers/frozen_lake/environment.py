"""One episode of frozen_lake: Gymnasium's own game, several moves a turn."""

from __future__ import annotations

from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

from nemo_gym.environments.action_game import ActionGame, GameLimits
from resources_servers.frozen_lake.board import ACTIONS, Layout, Observation, describe


class FrozenLake(ActionGame):
    actions = ACTIONS

    def __init__(
        self,
        board: list[str],
        *,
        is_slippery: bool,
        seed: int,
        layout: Layout,
        observation: Observation,
        limits: GameLimits,
    ) -> None:
        super().__init__(limits)
        self.board, self.layout, self.observation = board, layout, observation
        self.game = FrozenLakeEnv(desc=board, is_slippery=is_slippery)
        self.position, _ = self.game.reset(seed=seed)

    def act(self, action: str) -> float:
        self.position, reward, self.ended, _, _ = self.game.step(self.actions.index(action))
        self.success = self.ended and reward > 0
        return float(reward)

    def show(self) -> str:
        return describe(self.board, self.position, self.layout, self.observation)
