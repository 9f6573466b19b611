"""One episode of sokoban: push every box onto a target."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from nemo_gym.environments.action_game import ActionGame, GameLimits
from resources_servers.sokoban.level import ACTIONS, Level

PER_MOVE, BOX_ON, BOX_OFF, ALL_ON = -0.1, 1.0, -1.0, 10.0
"""The scale of gym-sokoban, which RAGEN plays."""


class RewardScale(StrEnum):
    """What moves earn."""

    SUCCESS = "success"
    """1.0 when all boxes are on targets, else 0.0."""
    RAGEN = "ragen"
    """-0.1 a move, 1.0 for a box pushed onto a target, -1.0 for one pushed off, 10.0 when all are on."""


class Sokoban(ActionGame):
    actions = ACTIONS

    def __init__(self, level: Level, *, scale: RewardScale, limits: GameLimits) -> None:
        super().__init__(limits)
        self.level, self.scale = level, scale

    def act(self, action: str) -> float:
        on_before = len(self.level.boxes & self.level.targets)
        self.level = self.level.after(action)
        gained = len(self.level.boxes & self.level.targets) - on_before
        self.ended = self.success = self.level.solved
        if self.scale is RewardScale.SUCCESS:
            return float(self.success)
        return PER_MOVE + (BOX_ON if gained > 0 else BOX_OFF if gained < 0 else 0.0) + (ALL_ON if self.success else 0.0)

    def show(self) -> str:
        return "\n".join(self.level.draw())

    def report(self) -> dict[str, Any]:
        return {**super().report(), "boxes_on_target": len(self.level.boxes & self.level.targets)}
