"""A recipe as TRL takes it: the trainers' own keys made into a `GymGRPOConfig`."""

from __future__ import annotations

from typing import Any

from nemo_gym.training.recipe import Recipe
from nemo_gym.training.trl.options import GymGRPOConfig

SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_output_tokens")
"""Sampling parameters that are options of the trainer, under the same names."""


def config_of(recipe: Recipe, output_dir: str, **more: Any) -> GymGRPOConfig:
    """What the recipe says of rollouts, credit and sampling; `more` are arguments of `GymGRPOConfig`, and win.

    Sampling parameters that TRL has no name for (`stop`) are for the rows: `dataset_of(map(recipe.row_to_run, rows))`.
    The recipe's `agent_overrides()` are for the configuration that the servers are started from. Raises `ConfigError`
    for what a TRL trainer cannot do.
    """
    sampling = {name: recipe.sampling[name] for name in SAMPLING if name in recipe.sampling}
    said: dict[str, Any] = {
        "multi_turn": None if recipe.plays_turns else False,
        "shape": recipe.shape,
        "credit": recipe.credit,
        "estimator": recipe.estimator,
        "gamma": recipe.gamma,
        "gae_lambda": recipe.gae_lambda,
        "high_level_gamma": recipe.high_level_gamma,
        "scale_rewards": "group" if recipe.divide_by_std else "none",
        **sampling,
    }
    if recipe.rollouts_per_task is not None:
        said["num_generations"] = recipe.rollouts_per_task
    return GymGRPOConfig(output_dir, **{**said, **more})
