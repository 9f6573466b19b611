"""GymGRPOTrainer: which rows are played, the single-turn path untouched, forks, steps, credit and critic."""

# ruff: noqa: E402 - what needs the trainers is imported where they are installed

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")
pytestmark = pytest.mark.training

import pandas
from trl import GRPOConfig, GRPOTrainer

from nemo_gym.errors import ConfigError
from nemo_gym.training.recipe import Recipe
from nemo_gym.training.rollouts import RunningGym
from nemo_gym.training.trl import (
    GymGRPOTrainer,
    GymRollouts,
    config_of,
    dataset_of,
    gym_reward,
    task_row_of,
    verify_reward_func,
)
from tests.with_trainers.conftest import StartGym
from tests.with_trainers.gyms import FORKING, LAKE, MATH, TOOLS, rows_of
from tests.with_trainers.tiny import tiny_model, tiny_tokenizer
from tests.with_trainers.trl_trainers import (
    Json,
    Recorded,
    args_for,
    logged,
    rows_in,
    sampled_tokens,
    trained_tokens,
    trainer_for,
)

AGENT = f"{LAKE}_simple_agent"
BOTH = {"num_generations": 4, "per_device_train_batch_size": 8}


def trained(folder: Path, rows: Any, gym: RunningGym, **options: Any) -> Recorded:
    trainer: Recorded = trainer_for(folder, rows, gym, **options)
    trainer.train()
    return trainer


def long_words(completions: Any, **_: Any) -> list[float]:
    """A reward that differs between the completions of a random model."""
    return [len(set(str(one))) / 10 for one in completions]


def plain_words() -> list[Json]:
    return [{"prompt": [{"role": "user", "content": f"Say {word}."}]} for word in ("one", "two", "three", "four")]


# --------------------------------------------------------------------------------------------- which rows are played


@pytest.mark.parametrize("env, expected", [(AGENT, True), (TOOLS, True), (MATH, False)])
def test_an_environment_is_multi_turn_where_it_talks_back_or_has_tools(
    tmp_path: Path, gym: RunningGym, env: str, expected: bool
) -> None:
    assert trainer_for(tmp_path, rows_of(LAKE), gym).is_multi_turn_environment(env) is expected


def test_of_a_mixed_batch_rows_are_played_or_generated_each_for_its_own_reason(
    tmp_path: Path, gym: RunningGym, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Json] = []

    def asking(prompts: Any, **told: Any) -> list[float | None]:
        seen.append(told)
        return [None] * len(prompts)

    rows = [rows_of(LAKE)[0], rows_of(MATH)[0], rows_of(TOOLS)[0]]
    both = [verify_reward_func(gym), asking]
    with caplog.at_level(logging.INFO, logger="nemo_gym"):
        trainer = trained(
            tmp_path, rows, gym, reward_funcs=both, per_device_train_batch_size=12, max_completion_length=600
        )
    assert len(seen) == 2
    for told in seen:
        found = set(zip(told["mode"], told["mode_reason"], told["fallback"], strict=True))
        assert found == {
            ("multi_turn", "the resources server offers /reset and /step", "first"),
            ("multi_step", "the row declares 2 tools", "first"),
            ("single_turn", "the row declares no tools", None),
        }
    said = [record.message for record in caplog.records if record.name.endswith("detection")]
    assert len(said) == 3, "each reason once"
    for inputs, _ in trainer.losses:
        natively = [mask for _, _, mask in rows_in(inputs) if all(mask)]
        assert len(natively) >= 4 and len(rows_in(inputs)) == 12
    assert all(0 < mean < 3 for mean in logged(trainer, "rollouts/turns"))


def test_multi_turn_false_plays_nothing(tmp_path: Path, gym: RunningGym) -> None:
    trainer = trained(tmp_path, rows_of(LAKE), gym, multi_turn=False, max_completion_length=16, max_steps=1)
    assert trainer.generations == [None]
    assert logged(trainer, "reward") == [pytest.approx(-0.1)], "a random model's single turn, scored by /verify"


def test_an_environment_brings_its_own_rows_and_rewards(tmp_path: Path, gym: RunningGym) -> None:
    trainer = trainer_for(tmp_path, None, gym, env=AGENT, max_steps=1)
    assert len(trainer.train_dataset) == len(rows_of(LAKE))
    trainer.train()
    assert all(one.reward is not None for one in trainer.generations[0])


def test_an_environment_that_does_not_run_is_an_error_with_the_nearest_name(tmp_path: Path, gym: RunningGym) -> None:
    with pytest.raises(ConfigError, match="frozen_lake"):
        trainer_for(tmp_path, rows_of(LAKE), gym, env="frozen_lakes")


def test_a_configuration_as_environment_is_started_and_ended_with_the_trainer(tmp_path: Path) -> None:
    config = {
        "config_paths": [
            "responses_api_models/scripted_model/configs/scripted_model.yaml",
            f"resources_servers/{MATH}/configs/{MATH}.yaml",
        ]
    }
    trainer = trainer_for(tmp_path, None, None, env=config)
    assert trainer.is_multi_turn_environment() is False
    [gym] = trainer.opened.gyms
    trainer.close()
    with pytest.raises(Exception, match="closed"):
        gym.collect(rows_of(MATH))


def rollout_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "nemo-gym-rollouts"]


def test_a_trainer_that_cannot_be_made_leaves_no_server_behind(tmp_path: Path) -> None:
    before = rollout_threads()
    config = {
        "config_paths": [
            "responses_api_models/scripted_model/configs/scripted_model.yaml",
            f"resources_servers/{LAKE}/configs/{LAKE}.yaml",
        ]
    }
    with pytest.raises(ConfigError) as caught:
        trainer_for(
            tmp_path,
            None,
            None,
            env=config,
            credit="turn_as_trajectory",
            scale_rewards="batch",
            multi_objective_aggregation="normalize_then_sum",
        )
    assert [problem.key for problem in caught.value.problems] == ["multi_objective_aggregation", "scale_rewards"]
    assert rollout_threads() == before


def test_a_configuration_to_start_and_a_gym_that_runs_contradict_each_other(tmp_path: Path, gym: RunningGym) -> None:
    with pytest.raises(ConfigError, match="`gym` runs already"):
        trainer_for(tmp_path, rows_of(LAKE), gym, env={"config_paths": []})


def test_a_run_of_this_folder_is_found_by_name_and_let_go_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_gym: StartGym
) -> None:
    monkeypatch.chdir(tmp_path)
    gym, before = start_gym(LAKE), rollout_threads()
    trainer = trainer_for(tmp_path, rows_of(LAKE), None, env=AGENT, max_steps=1)
    trainer.train()
    assert all(one.is_trained for one in trainer.generations[0])
    assert len(rollout_threads()) == len(before) + 1
    trainer.close()
    assert rollout_threads() == before and len(gym.collect(rows_of(LAKE))) == len(rows_of(LAKE)), "it still runs"


def test_task_rows_are_evaluated_too(tmp_path: Path, gym: RunningGym) -> None:
    rows = rows_of(LAKE)[:2]
    trainer = trainer_for(tmp_path, rows, gym, eval_dataset=rows, num_generations_eval=1, per_device_eval_batch_size=2)
    assert trainer.evaluate()["eval_rollouts/turns"] > 0
    [rollouts] = trainer.generations
    assert [one.step for one in rollouts] == ["first", "first"] and trainer._ahead._taken == []


def test_without_a_gym_a_rollout_function_of_ones_own_gets_the_rows(tmp_path: Path, gym: RunningGym) -> None:
    rollouts = GymRollouts(gym)
    trainer = trained(
        tmp_path, dataset_of(rows_of(LAKE)), None, rollout_func=rollouts, reward_funcs=gym_reward, max_steps=1
    )
    assert logged(trainer, "rollouts/multi_turn") == [1.0]


def test_the_table_of_completions_tells_of_each_row_how_it_came_about(tmp_path: Path, gym: RunningGym) -> None:
    rows = [*rows_of(LAKE)[:2], *rows_of(MATH)[:2]]
    trained(tmp_path, rows, gym, max_steps=4, max_completion_length=64, log_completions=True)
    tables = [pandas.read_parquet(path) for path in sorted((tmp_path / "completions").iterdir())]
    assert {mode for table in tables for mode in table["mode"]} == {"single_turn", "multi_turn"}
    for table in tables:
        asks_lake = ["frozen lake" in str(prompt).lower() for prompt in table["prompt"]]
        assert len(table) == 4 and [mode == "multi_turn" for mode in table["mode"]] == asks_lake
        assert [one != "None" for one in table["fallback"]] == asks_lake


# --------------------------------------------------------------------------------------------- the single-turn path


@pytest.mark.parametrize("num_iterations", [1, 2])
def test_without_turns_it_is_trls_trainer_to_the_last_bit(tmp_path: Path, gym: RunningGym, num_iterations: int) -> None:
    from datasets import Dataset

    common: Json = {
        "per_device_train_batch_size": 4,
        "num_generations": 4,
        "max_steps": 3,
        "max_completion_length": 12,
        "num_iterations": num_iterations,
        "learning_rate": 1e-2,
        "report_to": [],
        "use_cpu": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    found = []
    for kind, more in ((GRPOTrainer, {}), (GymGRPOTrainer, {}), (GymGRPOTrainer, {"gym": gym})):
        trainer = kind(
            tiny_model(),
            long_words,
            GRPOConfig(str(tmp_path), **common),
            Dataset.from_list(plain_words()),
            processing_class=tiny_tokenizer(),
            **more,
        )
        trainer.train()
        losses = [(line["loss"], line["grad_norm"], line.get("reward")) for line in trainer.state.log_history[:-1]]
        found.append((losses, [parameter.detach().clone() for parameter in trainer.model.parameters()]))
    (losses, parameters), *others = found
    assert len({loss for loss, _, _ in losses}) > 1
    for other_losses, other_parameters in others:
        assert other_losses == losses
        assert all(map(torch.equal, parameters, other_parameters))


def test_a_single_turn_row_is_generated_as_by_trl_and_scored_by_verify(tmp_path: Path, gym: RunningGym) -> None:
    """The same completions as from a plain trainer on the same prompts, and the environment's verdict on each."""
    completions: list[list[Any]] = []

    def keeping(completions: Any, **_: Any) -> list[float]:
        kept.append(completions)
        return [0.0] * len(completions)

    for kind, more in ((GRPOTrainer, {}), (GymGRPOTrainer, {"gym": gym})):
        kept: list[Any] = []
        trainer = kind(
            tiny_model(),
            [verify_reward_func(gym), keeping],
            args_for(tmp_path, max_completion_length=12),
            dataset_of(rows_of(MATH)),
            processing_class=tiny_tokenizer(),
            **more,
        )
        trainer.train()
        assert logged(trainer, "rewards/gym_reward/mean") == [0.0, 0.0], "scored, and wrong"
        completions.append(kept)
    assert completions[0] == completions[1] and len(completions[0]) == 2


def test_right_answers_are_rewarded_by_the_resources_server(gym: RunningGym) -> None:
    rows = rows_of(MATH)
    prompts = dataset_of(rows)["prompt"]
    right = [[{"role": "assistant", "content": f"#### {row['expected_answer']}"}] for row in rows]
    given = [*right[:-1], [{"role": "assistant", "content": "?"}]]
    rewards = verify_reward_func(gym)(prompts=prompts, completions=given)
    assert rewards == [1.0] * (len(rows) - 1) + [0.0]
    without = [{"role": "user", "content": "Hello"}]
    assert verify_reward_func(gym)(prompts=[without], completions=[right[0]]) == [None]


# --------------------------------------------------------------------------------------------- several sequences


@pytest.mark.parametrize("agent, shape", [(FORKING, "whole"), (AGENT, "step_wise"), (FORKING, "step_wise")])
@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_every_sampled_token_is_trained_once_in_its_own_context_with_its_rollouts_advantage(
    tmp_path: Path, gym: RunningGym, agent: str, shape: str, beta: float
) -> None:
    tiny_model().save_pretrained(tmp_path / "policy")
    trainer = trained(
        tmp_path,
        rows_of(LAKE, agent)[1:3],
        gym,
        model=str(tmp_path / "policy"),
        shape=shape,
        beta=beta,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        max_steps=1,
    )
    [rollouts] = trainer.generations
    assert rollouts is not None and sum(len(one.sequences) for one in rollouts) > 8
    found = [digest for inputs, _ in trainer.losses for digest in trained_tokens(rows_in(inputs))]
    expected = [digest for one in rollouts for digest in sampled_tokens(one.result or {})]
    assert sorted(found) == sorted(expected)
    assert len({len(rows_in(inputs)) for inputs, _ in trainer.losses}) == 1, "as many rows in each micro-step"
    if beta:
        assert all(one["ref_per_token_logps"].shape == one["completion_ids"].shape for one, _ in trainer.losses)
    rewards = np.array([one.reward for one in rollouts]).reshape(-1, 4)
    groups = (rewards - rewards.mean(1, keepdims=True)) / (rewards.std(1, ddof=1, keepdims=True) + 1e-4)
    expected_of = {
        (*one.prompt_ids, *one.completion_ids): float(advantage)
        for rollout, advantage in zip(rollouts, groups.ravel(), strict=True)
        for one in rollout.sequences
    }
    for inputs, _ in trainer.losses:
        for row, (prompt, completion, mask) in enumerate(rows_in(inputs)):
            if any(mask):
                expected_one = expected_of[(*prompt, *completion)]
                assert float(inputs["advantages"][row]) == pytest.approx(expected_one, abs=1e-4)


# --------------------------------------------------------------------------------------------- credit


CREDITED = [
    ("grpo", "turn_as_trajectory"),
    ("grpo", "return_to_go"),
    ("rloo", "final"),
    ("rloo", "return_to_go"),
    ("reinforce_plus_plus", "turn"),
    ("gae", "turn"),
    ("turn_gae", "turn"),
    ("bi_level_gae", "turn"),
    ("bi_level_gae", "final"),
]


@pytest.mark.parametrize("estimator, credit", CREDITED)
@pytest.mark.parametrize("shape", ["whole", "step_wise"])
def test_advantages_of_tokens_reach_the_loss(
    tmp_path: Path, gym: RunningGym, estimator: str, credit: str, shape: str
) -> None:
    def rising(prompts: Any, **_: Any) -> list[float]:
        """So that no group is all alike."""
        return [float(number) for number in range(len(prompts))]

    options = {"estimator": estimator, "credit": credit, "shape": shape, **BOTH}
    both = [verify_reward_func(gym), rising]
    trainer = trained(tmp_path, rows_of(LAKE)[1:3], gym, reward_funcs=both, **options)
    assert len(trainer.losses) == 2
    for inputs, loss in trainer.losses:
        advantages, completions = inputs["advantages"], inputs["completion_ids"]
        mask = (inputs["completion_mask"] * inputs["tool_mask"]).bool()
        assert advantages.shape == completions.shape and np.isfinite(loss)
        assert not advantages[~mask].any() and advantages[mask].any()
    if estimator.endswith("gae"):
        assert len(logged(trainer, "critic/loss")) == 2


def test_turns_are_compared_with_the_same_turn_of_the_task(tmp_path: Path, gym: RunningGym) -> None:
    trainer = trained(
        tmp_path,
        rows_of(LAKE)[1:2],
        gym,
        credit="turn_as_trajectory",
        scale_rewards="none",
        max_steps=1,
    )
    [rollouts], [(inputs, _)] = trainer.generations, trainer.losses
    assert rollouts is not None
    of_turn: dict[int, list[float]] = {}
    for one in rollouts:
        for turn, reward in enumerate(one.sequences[0].turn_rewards):
            of_turn.setdefault(turn, []).append(reward)
    expected = {}
    for one in rollouts:
        turns = np.cumsum(one.sequences[0].turn_end) - one.sequences[0].turn_end
        means = [np.mean(of_turn[turn]) for turn in range(len(one.sequences[0].turn_rewards))]
        values = [reward - mean for reward, mean in zip(one.sequences[0].turn_rewards, means, strict=True)]
        mask = one.sequences[0].mask
        expected[tuple(one.sequences[0].completion_ids)] = [
            values[turn] if trained else 0.0 for turn, trained in zip(turns, mask, strict=True)
        ]
    for row, (_, completion, _) in enumerate(rows_in(inputs)):
        found = inputs["advantages"][row][: len(completion)].tolist()
        assert found == pytest.approx(expected[tuple(completion)], abs=1e-6)


def test_what_reward_functions_add_is_credited_too(tmp_path: Path, gym: RunningGym) -> None:
    def constant(prompts: Any, **_: Any) -> list[float]:
        return [5.0] * len(prompts)

    trainer = trained(
        tmp_path,
        rows_of(LAKE)[1:2],
        gym,
        reward_funcs=[verify_reward_func(gym), constant],
        estimator="reinforce_plus_plus",
        credit="turn",
        max_steps=1,
    )
    [rollouts], totals = trainer.generations, trainer._totals(4)
    assert rollouts is not None
    assert totals == pytest.approx([5.0 + (one.reward or 0.0) for one in rollouts])


def test_a_single_turn_row_has_credit_as_one_turn(tmp_path: Path, gym: RunningGym) -> None:
    trainer = trained(
        tmp_path, rows_of(MATH), gym, reward_funcs=long_words, estimator="rloo", max_completion_length=12, max_steps=1
    )
    [(inputs, _)] = trainer.losses
    assert inputs["advantages"].shape == inputs["completion_ids"].shape
    totals = np.array(trainer._totals(4))
    expected = sorted(np.round(totals - (totals.sum() - totals) / 3, 4).tolist())
    assert sorted(np.round(inputs["advantages"][:, 0].numpy(), 4).tolist()) == pytest.approx(expected, abs=1e-3)


def test_a_recipe_becomes_a_configuration(tmp_path: Path) -> None:
    sampling = {"max_generate_length": 64, "temperature": 0.8, "min_p": 0.1, "repetition_penalty": 1.1, "stop": ["###"]}
    recipe = Recipe.read(
        {
            "train_cfgs": {"multi_turn": True, "bi_level_gae": True, "high_level_gamma": 0.9},
            "generator": {"sampling_params": sampling},
        }
    )
    config = config_of(recipe, str(tmp_path), use_cpu=True, report_to=[])
    assert (config.estimator, config.credit, config.high_level_gamma) == (recipe.estimator, recipe.credit, 0.9)
    assert (config.max_output_tokens, config.temperature, config.min_p) == (64, 0.8, 0.1)
    assert config.repetition_penalty == 1.1
    [told] = [task_row_of(prompt) for prompt in dataset_of([recipe.row_to_run(rows_of(LAKE)[0])])["prompt"]]
    assert told is not None and told["responses_create_params"]["stop"] == ["###"]


def test_sampling_is_the_trainers_over_the_rows_own(tmp_path: Path, gym: RunningGym) -> None:
    params = {**rows_of(LAKE)[0]["responses_create_params"], "temperature": 0.1, "max_output_tokens": 7, "stop": ["#"]}
    row = {**rows_of(LAKE)[0], "responses_create_params": params}
    for options, longest in (({}, 7), ({"max_output_tokens": 9}, 9)):
        trainer = trained(tmp_path, [row], gym, max_steps=1, temperature=0.6, top_p=0.9, **options)
        [rollouts] = trainer.generations
        sent = rollouts[0].result["responses_create_params"]
        sent = rollouts[0].result["responses_create_params"]
        wanted = {"temperature": 0.6, "top_p": 0.9, "max_output_tokens": longest, "stop": ["#"]}
        assert wanted.items() <= sent.items()
