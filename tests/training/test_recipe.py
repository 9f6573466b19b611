"""Recipes: the keys of the trainers' guides are read as they are printed there; mistakes are all told at once."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import pickle
import shlex
import subprocess
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_gym.errors import ConfigError
from nemo_gym.training.recipe import Recipe
from tests.training.written_recipes import (
    CONVERSATION,
    ENVIRONMENT_TYPED,
    LAKE,
    SMALLER,
    SQL_TYPED,
    STEP_WISE,
    TURNS,
    TURNS_TYPED,
)


def written(text: str, *arguments: str) -> Recipe:
    return Recipe.read(yaml.safe_load(text), arguments)


EVERYTHING = {
    "train_cfgs.multi_turn": True,
    "train_cfgs.bi_level_gae": True,
    "train_cfgs.max_turn": 3,
    "agent_proxy.max_turn": 3,
    "generator.max_turns": 3,
    "generator.backend": "vllm",
    "generator.inference_engine.backend": "vllm",
    "generator.inference_engine.num_engines": 2,
    "generator.sampling_params.temperature": 0.5,
    "generator.sampling_params.additional_kwargs": {"seed": 1},
    "trainer.algorithm.policy_loss_type": "gspo",
    "trainer.algorithm.kl_loss_coef": 0.1,
    "trainer.epochs": 2,
    "trainer_options.anything": 1,
}
"""One key of each kind."""


def mistakes(values: dict[str, Any], *arguments: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Recipe.read(values, arguments)
    return [str(problem) for problem in caught.value.problems]


def test_turns_and_bi_level_gae_are_read_as_printed() -> None:
    recipe = written(TURNS + LAKE)
    assert (recipe.plays_turns, recipe.max_turns, recipe.environment, recipe.max_episode_length) == (
        *(True, 3),
        *("frozen_lake", 50),
    )
    assert (recipe.estimator, recipe.gamma, recipe.gae_lambda, recipe.high_level_gamma) == (
        "bi_level_gae",
        1.0,
        1.0,
        0.95,
    )
    assert (recipe.shape, recipe.credit) == ("whole", "turn")
    assert recipe.needs_critic and recipe.needs_turns and recipe.needs_log_probs
    assert recipe.agent_overrides() == {"use_environment": True, "max_steps": 3}


def test_conversations_are_read_as_printed() -> None:
    recipe = written(CONVERSATION)
    assert recipe.row_params() == {"max_output_tokens": 1024, "temperature": 1.0}
    assert (recipe.backend, recipe.max_turns, recipe.estimator, recipe.credit) == ("sglang", 5, "grpo", "final")
    assert recipe.trainer_options == {"generator.backend": "sglang"}


def test_step_wise_training_is_read_as_printed_with_dotted_keys() -> None:
    recipe = written(STEP_WISE)
    assert (recipe.shape, recipe.credit, recipe.max_turns) == ("step_wise", "return_to_go", 6)
    assert recipe.agent_overrides()["max_total_tokens"] == 29000
    assert recipe.row_params() == {"max_output_tokens": 3000}
    assert recipe.max_length == 32000
    assert recipe.policy_loss == "dual_clip" and recipe.needs_log_probs and not recipe.needs_critic
    assert recipe.trainer_options == {"trainer.algorithm.policy_loss_type": "dual_clip"}


def test_what_an_engine_needs_goes_to_the_engine_and_to_the_trainer() -> None:
    recipe = written(SMALLER)
    assert recipe.engine == {"gpu_memory_utilization": 0.7, "max_num_seqs": 256}
    assert recipe.trainer_options == {"generator.gpu_memory_utilization": 0.7, "generator.max_num_seqs": 256}


def test_arguments_are_read_as_they_are_typed_for_the_trainers() -> None:
    turns = Recipe.read({}, shlex.split(TURNS_TYPED))
    assert (turns.plays_turns, turns.estimator, turns.max_turns) == (True, "bi_level_gae", 3)
    assert Recipe.read({}, shlex.split(ENVIRONMENT_TYPED)).environment == "your_environment"
    sql = Recipe.read({}, shlex.split(SQL_TYPED))
    assert (sql.environment, sql.backend, sql.max_turns) == ("text_to_sql", "sglang", 5)


def test_arguments_win_over_the_file_and_nested_keys_mean_the_same_as_dotted_ones() -> None:
    recipe = written(CONVERSATION, "generator.max_turns=2", "--generator.sampling_params.temperature=0.5")
    assert (recipe.max_turns, recipe.row_params()) == (2, {"max_output_tokens": 1024, "temperature": 0.5})
    assert written("generator: {sampling_params.max_generate_length: 7}").max_output_tokens == 7
    assert written(CONVERSATION, "+generator.sampling_params={max_generate_length: 9}").max_output_tokens == 9


def test_an_empty_recipe_leaves_everything_as_it_is_by_default() -> None:
    recipe = Recipe.read({})
    assert (recipe.agent_overrides(), recipe.row_params(), recipe.shape, recipe.estimator, recipe.max_length) == (
        *({}, {}),
        *("whole", "grpo", None),
    )
    assert written("generator: {max_turns: null, sampling_params: null}") == recipe


def test_sampling_parameters_go_into_the_rows_request() -> None:
    sampling = {"top_p": 0.9, "top_k": 20, "min_p": 0.1, "repetition_penalty": 1.1, "stop": ["</sql>"]}
    values = {"generator": {"sampling_params": {**sampling, "additional_kwargs": {"seed": 3}}}}
    assert Recipe.read(values).row_params() == {**sampling, "seed": 3}
    off = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
    assert Recipe.read({"generator.sampling_params": off}).row_params() == {}
    thinking = {"enable_thinking": False}
    assert Recipe.read({"generator.chat_template_kwargs": thinking}).row_params() == {"chat_template_kwargs": thinking}


def test_what_is_only_the_trainers_is_handed_on_unread() -> None:
    values = {
        "trainer": {"placement": {"colocate_all": True}, "algorithm": {"kl_loss_coef": 0.01}},
        "train_cfgs": {"actor_lr": 1e-6},
        "trainer_options": {"generator.brand_new": [1], "x": {"y": 2}},
        "generator.inference_engine": {"backend": "vllm", "num_engines": 4, "max_num_seqs": 8},
    }
    recipe = Recipe.read(values)
    assert recipe.trainer_options == {
        "trainer.placement": {"colocate_all": True},
        "trainer.algorithm.kl_loss_coef": 0.01,
        "train_cfgs.actor_lr": 1e-6,
        "generator.brand_new": [1],
        "x": {"y": 2},
        "generator.inference_engine.backend": "vllm",
        "generator.inference_engine.num_engines": 4,
        "generator.inference_engine.max_num_seqs": 8,
    }
    assert recipe.backend == "vllm" and recipe.engine == {"max_num_seqs": 8}


def test_a_recipe_can_be_sent_to_another_process() -> None:
    recipe = written(TURNS + LAKE)
    assert pickle.loads(pickle.dumps(recipe)) == recipe


def nested(flat: dict[str, Any], places: list[bool]) -> dict[str, Any]:
    """The same keys, the dots that `places` marks being sections."""
    values: dict[str, Any] = {}
    marks = itertools.cycle(places)
    for key, value in flat.items():
        section, name = values, ""
        for part in key.split("."):
            if name and next(marks) and isinstance(section.setdefault(name, {}), dict):
                section, name = section[name], part
            else:
                name = f"{name}.{part}" if name else part
        section[name] = value
    return values


@settings(deadline=None)
@given(places=st.lists(st.booleans(), min_size=1), order=st.permutations(range(len(EVERYTHING))))
def test_how_keys_are_nested_and_ordered_makes_no_difference(places: list[bool], order: list[int]) -> None:
    items = list(EVERYTHING.items())
    flat = {items[place][0]: items[place][1] for place in order}
    recipe, same = Recipe.read(nested(flat, places)), Recipe.read(EVERYTHING)
    assert dataclasses.replace(recipe, key_of=same.key_of) == same


@pytest.mark.parametrize(
    ("values", "key", "says"),
    [
        ({"train_cfgs": {"max_turns": 3}}, "train_cfgs.max_turns", "did you mean `train_cfgs.max_turn`?"),
        ({"generator.max_turn": 3}, "generator.max_turn", "did you mean `generator.max_turns`?"),
        ({"generator": {"stepwise_trajectories": True}}, "generator.stepwise_trajectories", "step_wise_trajectories"),
        ({"agent_proxy": {"use_env": True}}, "agent_proxy.use_env", "`agent_proxy.use_environment`"),
        ({"train_cfg": {"gamma": 1.0}}, "train_cfg", "is no option of a recipe; did you mean `train_cfgs`?"),
        ({"zebra": 1}, "zebra", "what only the trainer reads goes into `trainer_options`"),
        ({"generator": 3}, "generator", "must be a mapping of keys to values, not `3`"),
        ({"train_cfgs": {"max_turn": 0}}, "train_cfgs.max_turn", "must be a whole number from 1, not `0`"),
        ({"train_cfgs": {"max_turn": True}}, "train_cfgs.max_turn", "must be a whole number from 1, not `True`"),
        ({"train_cfgs": {"gamma": 1.5}}, "train_cfgs.gamma", "must be a number from 0 to 1"),
        ({"train_cfgs": {"multi_turn": "yes"}}, "train_cfgs.multi_turn", "must be true or false, not `yes`"),
        ({"generator.sampling_params.stop": "x"}, "generator.sampling_params.stop", "must be a list of texts"),
        ({"generator.sampling_params.top_k": 0}, "generator.sampling_params.top_k", "must be -1 (off) or a whole"),
        ({"generator.backend": "sgland"}, "generator.backend", "did you mean `sglang`?"),
        (
            {"trainer.algorithm.policy_loss_type": "dual_clp"},
            "trainer.algorithm.policy_loss_type",
            "there is no `dual_clp`; did you mean `dual_clip`?",
        ),
        ({"trainer.algorithm.advantage_estimator": "maxrl"}, "trainer.algorithm.advantage_estimator", "`rloo`"),
        ({"generator": {"max_turns": 3}, "generator.max_turns": 4}, "generator.max_turns", "given twice, as 3 and 4"),
    ],
)
def test_a_key_that_is_wrong_is_named_with_what_is_right(values: dict[str, Any], key: str, says: str) -> None:
    [line] = mistakes(values)
    assert line.startswith(f"recipe: `{key}`: ") and says in line


TURNED_ON = {"train_cfgs.multi_turn": True, "train_cfgs.bi_level_gae": True}


@pytest.mark.parametrize(
    ("values", "key", "says"),
    [
        (
            {"train_cfgs.max_turn": 3, "agent_proxy.max_turn": 2},
            "agent_proxy.max_turn",
            "is 2, but `train_cfgs.max_turn`, which means the same, is 3",
        ),
        (
            {"agent_proxy.max_turn": 3, "generator.max_turns": 5},
            "generator.max_turns",
            "is 5, but `agent_proxy.max_turn`",
        ),
        ({"train_cfgs.gamma": 0.9, "trainer.algorithm.gamma": 1.0}, "trainer.algorithm.gamma", "`train_cfgs.gamma`"),
        ({"train_cfgs.gae_lambda": 0.9, "trainer.algorithm.lambd": 1.0}, "trainer.algorithm.lambd", "is 1.0, but"),
        ({"env_cfgs.env_name": "sokoban", "experiment": "frozen_lake"}, "experiment", "`env_cfgs.env_name`"),
        ({"train_cfgs.bi_level_gae": True}, "train_cfgs.bi_level_gae", "set `train_cfgs.multi_turn: true`"),
        (
            {"train_cfgs": {"bi_level_gae": True, "multi_turn": False}},
            "train_cfgs.bi_level_gae",
            "needs turns: set `train_cfgs.multi_turn: true`, or leave `bi_level_gae` out",
        ),
        (
            {**TURNED_ON, "trainer.algorithm.advantage_estimator": "grpo"},
            "trainer.algorithm.advantage_estimator",
            "is `grpo`, but `train_cfgs.bi_level_gae` is true",
        ),
        (
            {"generator": {"backend": "sglang", "use_conversation_multi_turn": False}},
            "generator.use_conversation_multi_turn",
            "`use_conversation_multi_turn=False` is not supported for SGLang backend",
        ),
        (
            {"generator": {"step_wise_trajectories": True, "use_conversation_multi_turn": False}},
            "generator.step_wise_trajectories",
            "needs each turn as a message of its own: `generator.use_conversation_multi_turn: true`",
        ),
        ({"generator.merge_stepwise_output": True}, "generator.merge_stepwise_output", "step_wise_trajectories: true"),
        (
            {**TURNED_ON, "generator.step_wise_trajectories": True},
            "generator.step_wise_trajectories",
            "`bi_level_gae` looks along the turns of one sample",
        ),
        (
            {"generator.step_wise_trajectories": True, "trainer.algorithm.advantage_estimator": "reinforce++"},
            "generator.step_wise_trajectories",
            "`reinforce_plus_plus` looks along",
        ),
        ({"generator": {"batched": True, "max_turns": 5}}, "generator.batched", "is for single turns"),
        (
            {"credit": "turn"},
            "credit",
            "`turn` does not go with `grpo`, which takes `final`, `return_to_go`, `turn_as_trajectory`",
        ),
        ({**TURNED_ON, "credit": "turn_as_trajectory"}, "credit", "does not go with `bi_level_gae`"),
    ],
)
def test_two_keys_that_disagree_are_an_error(values: dict[str, Any], key: str, says: str) -> None:
    [line] = mistakes(values)
    assert line.startswith(f"recipe: `{key}`: ") and says in line


def test_every_mistake_is_told_at_once_with_where_it_stands(tmp_path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        TURNS.replace("max_turn:", "max_turns:") + LAKE.replace("max_turn: 3", "max_turn: 0") + "zebra: 1\n"
    )
    with pytest.raises(ConfigError) as caught:
        Recipe.read(path, ["--generator.backend", "sgland"])
    assert [(problem.file, problem.key) for problem in caught.value.problems] == [
        (str(path), "train_cfgs.max_turns"),
        (str(path), "agent_proxy.max_turn"),
        (str(path), "zebra"),
        ("command line", "generator.backend"),
    ]


def test_a_file_that_is_no_recipe_is_refused_with_its_line(tmp_path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("generator:\n  max_turns: 3\n  max_turns: 4\n")
    with pytest.raises(ConfigError, match="is given twice, on lines 2 and 3"):
        Recipe.read(path)
    with pytest.raises(ConfigError, match=r"recip\.yaml: there is no such file; did you mean `recipe\.yaml`"):
        Recipe.read(tmp_path / "recip.yaml")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"train_cfgs.multi_turn": False}, ["falling back to single turns, as `train_cfgs.multi_turn` is false"]),
        (
            {"agent_proxy.use_environment": False},
            ["falling back to single turns, as `agent_proxy.use_environment` is false"],
        ),
        (
            {"train_cfgs": {"multi_turn": False, "max_turn": 3}},
            [
                "`train_cfgs.max_turn` has no effect: `train_cfgs.multi_turn` is false",
                "falling back to single turns, as `train_cfgs.multi_turn` is false",
            ],
        ),
        ({"train_cfgs.high_level_gamma": 0.9}, ["`train_cfgs.high_level_gamma` has no effect: `gae` knows no turns"]),
        ({"trainer.algorithm.lambd": 1.0, "trainer.algorithm.gamma": 1.0}, []),
        ({"trainer.algorithm.lambd": 0.9}, ["`trainer.algorithm.lambd` has no effect: `grpo` has no critic"]),
    ],
)
def test_falling_back_and_what_has_no_effect_is_logged_once(values, says, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        Recipe.read(values)
    assert [record.getMessage() for record in caplog.records] == [f"recipe: {line}" for line in says]


@pytest.mark.parametrize("text", [TURNS + LAKE, CONVERSATION, STEP_WISE, SMALLER])
def test_nothing_printed_in_the_guides_is_without_effect(text: str, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        written(text)
    assert not caplog.records


def test_commands_that_take_recipes_need_no_numpy() -> None:
    commands = "nemo_gym.cli.run, nemo_gym.cli.dump_config, nemo_gym.cli.collect_rollouts"
    code = f"import sys; sys.modules['numpy'] = None; import {commands}"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("option", ["multi_turn", "use_environment"])
def test_without_turns_each_row_is_one_model_call(option: str) -> None:
    key = {"multi_turn": "train_cfgs.multi_turn", "use_environment": "agent_proxy.use_environment"}[option]
    overrides = Recipe.read({key: False, "generator.max_turns": 5}).agent_overrides()
    assert (overrides["use_environment"], overrides["max_steps"]) == (False, 1)
