"""What each key of a recipe does: rollouts played in this process with the configuration that the recipe makes."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from starlette.requests import Request

from nemo_gym.base_responses_api_model import SimpleResponsesAPIModel
from nemo_gym.errors import ConfigError
from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.serving.json_route import json_body
from nemo_gym.testclient import InProcessGym
from nemo_gym.training.batch import Batch, batch_of
from nemo_gym.training.recipe import Recipe
from nemo_gym.training.recipe_advantages import advantages_of
from nemo_gym.training.recipe_config import load_with_recipe
from nemo_gym.training.recipe_rollouts import RolloutCheck
from nemo_gym.training.samples import samples_of_all
from nemo_gym.training.trajectory import trajectories_of
from tests.rows import response_saying
from tests.training.written_recipes import LAKE, SMALLER, STEP_WISE, TURNS

ROOT = Path(__file__).resolve().parents[2]
SCRIPTED = "responses_api_models/scripted_model/configs/scripted_model.yaml"

Played = list[dict[str, Any]]


async def played(
    tmp_path: Path, text: str, *, environment: str = "frozen_lake", policy: str = "malformed", repeats: int = 1
) -> Played:
    """Rollouts of the environment's example rows, by the configuration that `ng_run +recipe=` would start."""
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    recipe = Recipe.read(file)
    model = "policy_model.responses_api_models.scripted_model"
    paths = (
        [SCRIPTED] if recipe.environment else [SCRIPTED, f"resources_servers/{environment}/configs/{environment}.yaml"]
    )
    arguments = [f"+config_paths=[{','.join(paths)}]", f"+{model}.environment={environment}"]
    arguments += [f"+{model}.policy={policy}", f"+{model}.tokens={{enabled: true}}"]
    config = load_with_recipe(file, arguments, cwd=ROOT)
    async with InProcessGym() as gym:
        for instance in config.instances.values():
            gym.add(instance.name, instance.folder, **instance.settings)
        rows = (ROOT / "resources_servers" / environment / "data" / "example.jsonl").read_text().splitlines()
        stored = []
        for task, line in enumerate(rows):
            row = recipe.row_to_run(json.loads(line))
            for repeat in range(repeats):
                answer = await gym.client.post(f"{environment}_simple_agent", "/run", row)
                answer.raise_for_status()
                stored.append({**answer.parse(), "_ng_task_index": task, "_ng_rollout_index": repeat})
        return stored


def batch(recipe: Recipe, rollouts: Played) -> Batch:
    samples = samples_of_all(
        trajectories_of(rollouts), recipe.shape, max_length=recipe.max_length, merge_prefixes=recipe.merge_prefixes
    )
    return batch_of(samples, pad_id=0)


def written(text: str, *arguments: str) -> Recipe:
    return Recipe.read(yaml.safe_load(text), arguments)


async def test_the_named_environment_is_played_for_so_many_turns_and_says_how_many_are_left(tmp_path) -> None:
    rollouts = await played(tmp_path, TURNS + LAKE)
    assert {(rollout["mode"], len(rollout["turns"]) <= 3) for rollout in rollouts} == {("multi_turn", True)}
    cut = [rollout for rollout in rollouts if rollout["stop_reason"] == "truncated"]
    assert cut and {len(rollout["turns"]) for rollout in cut} == {3}
    for rollout in cut:
        said = [item["content"] for item in rollout["response"]["output"] if item.get("role") == "user"]
        assert "Turns left: 2" in str(said[0])


async def test_turns_are_limited_where_the_environment_knows_no_limit_too(tmp_path) -> None:
    text = "generator: {max_turns: 2}"
    for rollout in await played(tmp_path, text, environment="calendar", policy="oracle"):
        assert len(rollout["turns"]) <= 2
    rollouts = await played(tmp_path, "generator: {max_turns: 1}", environment="example_multi_step", policy="oracle")
    assert {(rollout["mode"], len(rollout["turns"]), rollout["stop_reason"]) for rollout in rollouts} == {
        ("multi_step", 1, "max_steps")
    }


async def test_the_length_of_an_episode_is_what_the_recipe_says(tmp_path) -> None:
    [rollout, *_] = await played(
        tmp_path, LAKE.replace("max_episode_length: 50", "max_episode_length: 1"), policy="oracle"
    )
    assert (rollout["num_actions"], len(rollout["turns"]), rollout["stop_reason"]) == (1, 1, "truncated")
    [longer, *_] = await played(tmp_path, LAKE, policy="oracle")
    assert longer["num_actions"] > 1


@pytest.mark.parametrize("off", ["train_cfgs: {multi_turn: false}", "agent_proxy: {use_environment: false}"])
async def test_falling_back_to_single_turns_is_real_and_marked_in_each_row(tmp_path, off: str) -> None:
    rollouts = await played(tmp_path, f"{off}\nenv_cfgs: {{env_name: frozen_lake}}")
    assert len(rollouts) == 5
    for rollout in rollouts:
        assert (rollout["mode"], len(rollout["turns"])) == ("single_turn", 1)
        assert "the agent's `use_environment` is false" in rollout["mode_reason"]


async def test_an_environment_without_turns_falls_back_and_it_is_logged_once(tmp_path, caplog) -> None:
    rollouts = await played(tmp_path, "generator: {max_turns: 5}", environment="gsm8k", policy="oracle")
    assert {rollout["mode"] for rollout in rollouts} == {"single_turn"}
    check = RolloutCheck(written("generator: {max_turns: 5}"))
    with caplog.at_level(logging.WARNING):
        check.check(rollouts)
        check.check(rollouts)
    assert [record.getMessage() for record in caplog.records] == [
        "recipe: rows fall back from turns to `mode: single_turn`: the row declares no tools"
    ]


async def test_no_call_is_made_once_the_conversation_is_as_long_as_the_input_may_be(tmp_path) -> None:
    [free, *_] = await played(tmp_path, LAKE)
    used = [turn["input_tokens"] + turn["output_tokens"] for turn in free["turns"]]
    short = LAKE + f"generator: {{max_input_length: {used[0]}, sampling_params: {{max_generate_length: 64}}}}"
    [rollout, *_] = await played(tmp_path, short)
    assert (len(rollout["turns"]), rollout["stop_reason"]) == (1, "max_total_tokens")
    recipe = written(short)
    assert max(len(sample.ids) for sample in batch(recipe, [rollout]).samples) <= used[0] + 64 == recipe.max_length


async def test_all_turns_become_one_assistant_message(tmp_path) -> None:
    rollouts = await played(tmp_path, LAKE + "generator: {use_conversation_multi_turn: false}")
    assert {rollout["use_conversation_multi_turn"] for rollout in rollouts} == {False}


class Listener(SimpleResponsesAPIModel):
    """Keeps the requests it gets."""

    async def responses(self, request: Request, body: ResponseCreateParams) -> Response:
        HEARD.append(json_body(request))
        return Response.model_validate(response_saying("Right"))


HEARD: list[dict[str, Any]] = []


async def test_sampling_parameters_reach_the_model_with_each_turn() -> None:
    text = "generator.sampling_params: {max_generate_length: 3000, temperature: 0.5, top_p: 0.9, top_k: 20}"
    HEARD.clear()
    async with InProcessGym() as gym:
        gym.add("lake", ROOT / "resources_servers" / "frozen_lake", max_turns=2)
        gym.add("model", Listener)
        servers = {"resources_server": {"name": "lake"}, "model_server": {"name": "model"}}
        gym.add("agent", ROOT / "responses_api_agents" / "simple_agent", **servers)
        row = json.loads((ROOT / "resources_servers/frozen_lake/data/example.jsonl").read_text().splitlines()[0])
        (await gym.client.post("agent", "/run", written(text).row_to_run(row))).raise_for_status()
    wanted = {"max_output_tokens": 3000, "temperature": 0.5, "top_p": 0.9, "top_k": 20}
    assert [{name: heard[name] for name in wanted} for heard in HEARD] == [wanted, wanted]


def test_an_engine_that_is_started_here_gets_its_limits(tmp_path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(SMALLER + LAKE)
    local = "responses_api_models/local_vllm_model/configs/local_vllm_model.yaml"
    arguments = [f"+config_paths=[{local}]", "+policy_model_name=/models/tiny"]
    settings = load_with_recipe(file, arguments, cwd=ROOT).instances["policy_model"].settings
    limits = {"gpu_memory_utilization": 0.7, "max_num_seqs": 256}
    assert limits.items() <= settings["vllm_serve_kwargs"].items()
    assert settings["vllm_serve_kwargs"]["tool_call_parser"] == "hermes"
    file.write_text(LAKE + "generator: {backend: sglang}")
    with pytest.raises(ConfigError, match=r"`generator\.backend`: `policy_model` starts vLLM"):
        load_with_recipe(file, arguments, cwd=ROOT)


async def test_each_step_is_a_sample_judged_against_the_same_step_of_its_tasks_other_rollouts(tmp_path) -> None:
    recipe = written(STEP_WISE)
    rollouts = await played(
        tmp_path,
        STEP_WISE,
        environment="gsm8k_multi_turn",
        policy="{oracle: 0.4, second_try: 0.4, random: 0.2}",
        repeats=4,
    )
    steps = batch(recipe, rollouts)
    assert len(steps.samples) == sum(len(rollout["turns"]) for rollout in rollouts) > len(rollouts)
    advantages = advantages_of(recipe, steps).advantages
    assert not advantages[~steps.loss_mask].any()
    first = [(row, sample) for row, sample in enumerate(steps.samples) if sample.step == 0]
    for task in {sample.group_id for _, sample in first}:
        group = [(row, sample) for row, sample in first if sample.group_id == task]
        returns = np.array([sample.return_to_go for _, sample in group])
        scale = returns.std(ddof=1) + 1e-6
        for (row, _), expected in zip(group, (returns - returns.mean()) / scale, strict=True):
            assert advantages[row][steps.loss_mask[row]] == pytest.approx(expected, abs=1e-9)
    by_own = advantages_of(written(STEP_WISE, "+credit=turn_as_trajectory"), steps).advantages
    assert not np.allclose(by_own, advantages)
    merged = batch(written(STEP_WISE, "+generator.merge_stepwise_output=true"), rollouts)
    assert len(merged.samples) == len(rollouts)
    again = advantages_of(recipe, merged).advantages
    assert sorted(again[merged.loss_mask]) == pytest.approx(sorted(advantages[steps.loss_mask]))


async def test_one_advantage_for_a_rollout_whatever_the_number_of_its_samples(tmp_path) -> None:
    rollouts = await played(
        tmp_path, "{}", environment="gsm8k_multi_turn", policy="{oracle: 0.4, second_try: 0.4, random: 0.2}", repeats=4
    )
    whole, steps = written("{}"), written(STEP_WISE, "+credit=final")
    of_whole = batch(whole, rollouts)
    by_rollout = {
        sample.trajectory_id: advantages[mask][0]
        for sample, advantages, mask in zip(
            of_whole.samples, advantages_of(whole, of_whole).advantages, of_whole.loss_mask, strict=True
        )
        if mask.any()
    }
    stepped = batch(steps, rollouts)
    trained = [(row, sample) for row, sample in enumerate(stepped.samples) if not sample.is_placeholder]
    assert len(trained) > len(rollouts)
    advantages = advantages_of(steps, stepped).advantages
    for row, sample in trained:
        [advantage] = set(advantages[row][stepped.loss_mask[row]].tolist())
        assert advantage == pytest.approx(by_rollout[sample.trajectory_id])


async def test_discounts_estimator_and_normalisation_change_what_is_learned(tmp_path) -> None:
    rollouts = await played(tmp_path, TURNS + LAKE, policy="{oracle: 0.5, malformed: 0.5}", repeats=4)
    recipe = written(TURNS + LAKE)
    whole = batch(recipe, rollouts)
    values = np.random.default_rng(0).normal(size=whole.loss_mask.shape)

    def learned(*arguments: str) -> np.ndarray[Any, Any]:
        return advantages_of(written(TURNS + LAKE, *arguments), whole, values).advantages

    plain = learned()
    for changed in (
        ["--train_cfgs.high_level_gamma", "0.5"],
        ["--train_cfgs.gamma", "0.9"],
        ["--train_cfgs.gae_lambda", "0.5"],
        ["--train_cfgs.bi_level_gae", "false"],
        ["--credit", "final"],
    ):
        assert not np.allclose(learned(*changed), plain), changed
    for name in ("rloo", "reinforce++", "turn_gae"):
        other = ["--train_cfgs.bi_level_gae=false", f"trainer.algorithm.advantage_estimator={name}"]
        assert not np.allclose(learned(*other), plain), name
    grpo = [
        advantages_of(Recipe.read({"trainer.algorithm.grpo_norm_by_std": std}), whole).advantages
        for std in (True, False)
    ]
    assert not np.allclose(*grpo)


async def test_a_trainer_without_a_critic_is_told_which_key_needs_one(tmp_path) -> None:
    rollouts = await played(tmp_path, TURNS + LAKE)
    recipe = written(TURNS + LAKE)
    with pytest.raises(ConfigError, match=r"`train_cfgs\.bi_level_gae`: `bi_level_gae` needs a critic"):
        advantages_of(recipe, batch(recipe, rollouts))


async def test_rollouts_without_what_the_algorithm_needs_are_refused_with_the_key_that_needs_it(tmp_path) -> None:
    [rollout, *_] = await played(tmp_path, TURNS + LAKE)
    check = RolloutCheck(written(TURNS + LAKE + "trainer.algorithm.policy_loss_type: dual_clip"))
    check.check([rollout])
    for item in rollout["response"]["output"]:
        item.pop("generation_token_ids", None)
    with pytest.raises(ConfigError) as caught:
        check.check([rollout])
    [problem] = caught.value.problems
    assert problem.key == "trainer.algorithm.policy_loss_type" and "token_source: none" in problem.message
    check.check([{**rollout, "_ng_failure_class": "model_timeout"}])
    del rollout["turns"]
    with pytest.raises(ConfigError) as caught:
        check.check([rollout])
    assert [problem.key for problem in caught.value.problems] == [
        "trainer.algorithm.policy_loss_type",
        "train_cfgs.bi_level_gae",
    ]
    imitation = written("trainer.algorithm.policy_loss_type: cross_entropy")
    RolloutCheck(imitation).check([rollout])
