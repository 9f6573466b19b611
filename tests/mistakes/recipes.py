"""Mistakes in training recipes: typical ones, for tests/training/test_recipe.py has them all."""

from __future__ import annotations

from tests.mistakes.configuration import RUN_ALL
from tests.mistakes.mistake import Mistake

RUN_RECIPE = f"{RUN_ALL} +recipe=recipe.yaml"

RECIPES = (
    Mistake(
        "a recipe that is not there",
        f"{RUN_ALL} +recipe=recip.yaml",
        files={"recipe.yaml": "generator: {max_turns: 3}"},
        says=("recip.yaml: there is no such file", "did you mean `recipe.yaml`?"),
    ),
    Mistake(
        "a misspelt option of a recipe",
        RUN_RECIPE,
        files={"recipe.yaml": "train_cfgs:\n  max_turns: 3\n"},
        says=("recipe.yaml: `train_cfgs.max_turns`", "did you mean `train_cfgs.max_turn`?"),
    ),
    Mistake(
        "options of a recipe that contradict each other",
        RUN_RECIPE,
        files={"recipe.yaml": "agent_proxy: {max_turn: 3}\ngenerator: {max_turns: 5}\n"},
        says=("recipe.yaml: `generator.max_turns`: is 5, but `agent_proxy.max_turn`", "keep one, or make them equal"),
    ),
    Mistake(
        "a recipe for an environment that is not there",
        RUN_RECIPE,
        files={"recipe.yaml": "env_cfgs: {env_name: quizz}"},
        says=("recipe.yaml: `env_cfgs.env_name`: there is no environment `quizz`", "did you mean `quiz`?"),
    ),
    Mistake(
        "a recipe that limits what the environment does not count",
        RUN_RECIPE,
        files={"recipe.yaml": "env_cfgs: {max_episode_length: 50}"},
        says=("recipe.yaml: `env_cfgs.max_episode_length`", "no environment of this configuration has"),
    ),
)
