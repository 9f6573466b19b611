"""Recipes against the trainers' own options: SkyRL's whole configuration is one, and TRL's takes what it says."""

# ruff: noqa: E402 - the trainers are imported where they are installed

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")
pytest.importorskip("trl", reason="needs the training extras: make test-training")
pytestmark = pytest.mark.training

from tests.with_trainers.skyrl_trainer import EOS  # isort: skip

from skyrl.backends.skyrl_train.utils.ppo_utils import PolicyLossType
from skyrl.train.config import SkyRLTrainConfig

from nemo_gym.training.recipe import Recipe
from nemo_gym.training.recipe_options import OPTION_OF_KEY, PASSED, POLICY_LOSSES
from nemo_gym.training.skyrl import SkyRLOptions
from nemo_gym.training.trl import config_of
from tests.training.test_recipe import written
from tests.training.written_recipes import LAKE, STEP_WISE, TURNS


def keys_of(section: Any, path: str = "") -> list[str]:
    """Dotted names of SkyRL's options, down to what a recipe knows or passes whole."""
    keys = []
    for field in dataclasses.fields(section):
        key, value = f"{path}{field.name}", getattr(section, field.name)
        known = key in OPTION_OF_KEY or key in PASSED
        keys += keys_of(value, f"{key}.") if dataclasses.is_dataclass(value) and not known else [key]
    return keys


def test_every_option_of_skyrl_is_known() -> None:
    assert set(keys_of(SkyRLTrainConfig())) <= OPTION_OF_KEY.keys() | PASSED


def test_skyrls_default_configuration_is_a_recipe_of_single_model_calls() -> None:
    recipe = Recipe.read(dataclasses.asdict(SkyRLTrainConfig()))
    assert (recipe.estimator, recipe.credit, recipe.environment, recipe.rollouts_per_task) == (
        "grpo",
        "final",
        "gsm8k",
        5,
    )
    assert recipe.agent_overrides()["max_steps"] == 1
    assert recipe.row_params() == {"max_output_tokens": 1024, "temperature": 1.0, "top_p": 1.0}
    assert recipe.trainer_options["trainer.train_batch_size"] == 1024


def test_policy_losses_are_those_of_skyrl() -> None:
    assert {each.value for each in PolicyLossType} == set(POLICY_LOSSES)


@pytest.mark.parametrize("text", [TURNS + LAKE, STEP_WISE, "train_cfgs: {multi_turn: false}"])
def test_trls_options_take_what_a_recipe_says(tmp_path, text: str) -> None:
    recipe = written(text)
    args = config_of(recipe, str(tmp_path), report_to=[], use_cpu=True)
    assert (args.shape, args.credit, args.estimator) == (recipe.shape, recipe.credit, recipe.estimator)
    assert args.multi_turn is (None if recipe.multi_turn else False)


def test_skyrls_rows_take_what_a_recipe_says() -> None:
    options = SkyRLOptions.of(written(STEP_WISE), eos_token_id=EOS)
    assert (options.credit, options.max_length, options.turns_stand_alone) == ("return_to_go", 32000, True)
