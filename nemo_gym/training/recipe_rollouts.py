"""Rollouts held against a recipe: do they carry what its algorithm needs, and were they played in turns?"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.schemas.rollout import FAILURE_CLASS, Mode
from nemo_gym.training.recipe import Recipe
from nemo_gym.training.trajectory import TokenSource, trajectory_of

log = logging.getLogger(__name__)


class RolloutCheck:
    """Kept by a trainer over a whole training: `check` is for each batch of rollouts as they come."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._told: set[str] = set()

    def check(self, rollouts: Iterable[Mapping[str, Any]]) -> None:
        """Raises `ConfigError` that names the key which asks for what a rollout lacks; failed rollouts are left out.

        Logs, once for each reason, that rows fell back to single turns although the recipe asks for several.
        """
        problems: dict[str, ConfigProblem] = {}
        for rollout in rollouts:
            if rollout.get(FAILURE_CLASS):
                continue
            for problem in self._lacks(rollout):
                problems.setdefault(problem.key, problem)
            if self.recipe.plays_turns and rollout.get("mode") == Mode.SINGLE_TURN:
                self._tell(str(rollout.get("mode_reason") or "the agent does not say why"))
        if problems:
            raise ConfigError(list(problems.values()))

    def _lacks(self, rollout: Mapping[str, Any]) -> list[ConfigProblem]:
        recipe, problems = self.recipe, []
        if recipe.needs_log_probs:
            trajectory = trajectory_of(rollout, group_id="")
            if trajectory.token_source is not TokenSource.RECORDED:
                message = (
                    f"`{recipe.policy_loss or recipe.estimator}` needs the log-probability of each token, and rollout "
                    f"{trajectory.trajectory_id} says `token_source: {trajectory.token_source}`; have the model server "
                    "report them (`return_token_id_information: true`)"
                )
                problems.append(recipe.problem("policy_loss", message))
        if recipe.needs_turns and not rollout.get("turns"):
            could_ask = ("bi_level_gae", "estimator", "credit", "step_wise")
            asking = next((name for name in could_ask if name in recipe.key_of), "estimator")
            message = "needs to know where turns end, and this agent records no `turns`; simple_agent does"
            problems.append(recipe.problem(asking, message))
        return problems

    def _tell(self, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            log.warning("%s: rows fall back from turns to `mode: single_turn`: %s", self.recipe.source, reason)
