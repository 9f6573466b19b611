"""Our rows go through SkyRL's own trainer: its checks, its tensors, its metrics, its estimators."""

# ruff: noqa: E402 - what needs the trainers is imported where they are installed

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")
pytestmark = pytest.mark.training

from tests.with_trainers.skyrl_trainer import (  # isort: skip
    ALL,
    EOS,
    Prepared,
    config_of,
    each_option,
    learned_from,
    trainer_of,
)

from skyrl.train.fully_async_trainer import FullyAsyncRayPPOTrainer, GeneratedOutputGroup
from skyrl.train.generators.utils import (
    concatenate_generator_outputs,
    get_metrics_from_generator_output,
    merge_stepwise_output,
)

from nemo_gym.training.advantages import grpo, reinforce_plus_plus, rloo
from nemo_gym.training.batch import batch_of
from nemo_gym.training.credit import token_rewards, turn_trajectories
from nemo_gym.training.samples import samples_of_all
from nemo_gym.training.skyrl import GeneratorOutput, SkyRLOptions, episodes_of, generator_output
from nemo_gym.training.trajectory import Rollout, trajectory_of
from tests.training.stored_rollouts import Said, failed, rollout_of, turn_of

NUM_TASKS, NUM_SAMPLES = 3, 4


def rollouts_of(seed: int = 0, *, failing: tuple[tuple[int, int], ...] = ()) -> list[Rollout]:
    """Rollouts of one to three turns with random ids and rewards."""
    rng = random.Random(seed)
    stored = []
    for task in range(NUM_TASKS):
        for number in range(NUM_SAMPLES):
            prompt = [10 + task, 11, 12]
            turns = []
            for _ in range(rng.randint(1, 3)):
                sampled = [rng.randint(100, 999) for _ in range(rng.randint(1, 5))]
                log_probs = [-rng.random() for _ in sampled]
                turns.append(turn_of(Said(prompt, sampled, log_probs, rng.choice([0.0, 0.25, 0.5, 1.0]))))
                prompt = [*prompt, *sampled, *(rng.randint(20, 90) for _ in range(rng.randint(1, 3)))]
            rollout = rollout_of(*turns, _ng_task_index=task, _ng_rollout_index=number)
            stored.append(failed(rollout) if (task, number) in failing else rollout)
    return stored


def output_of(rollouts: list[Rollout], **options: Any) -> GeneratorOutput:
    return generator_output(episodes_of(rollouts), SkyRLOptions(eos_token_id=EOS, **options))


async def skyrls(rollouts: list[Rollout], algorithm: dict[str, Any], **options: Any) -> tuple[Any, Any]:
    """SkyRL's batch, with advantages, and its trainer."""
    config = config_of(NUM_TASKS, NUM_SAMPLES, step_wise=options.get("step_wise", False), **algorithm)
    trainer = trainer_of(config, Prepared(output_of(rollouts, **options)))
    uids = [str(task) for task in range(NUM_TASKS) for _ in range(NUM_SAMPLES)]
    return await learned_from(trainer, {"prompts": uids}, uids), trainer


def on_trained(batch: Any, key: str) -> list[list[float]]:
    """What SkyRL has at each row's trained ids, in order."""
    masks = batch["loss_mask"].bool()
    return [batch[key][row][masks[row]].tolist() for row in range(len(masks))]


def ours(rollouts: list[Rollout], shape: str) -> tuple[Any, list[Any]]:
    samples = samples_of_all([trajectory_of(rollout) for rollout in rollouts], shape)
    return batch_of(samples, pad_id=0), samples


def packed(dense: Any, batch: Any) -> list[list[float]]:
    return [dense[row][batch.loss_mask[row]].tolist() for row in range(len(dense))]


def assert_same(theirs: list[list[float]], mine: list[list[float]]) -> None:
    assert [len(row) for row in theirs] == [len(row) for row in mine]
    assert np.allclose(np.concatenate(theirs), np.concatenate(mine), atol=2e-5)


ESTIMATORS = {
    "grpo": lambda rewards, groups: grpo(rewards, groups),
    "rloo": lambda rewards, groups: rloo(rewards, groups),
}


def by_rollout(estimate: Any, rollouts: list[Rollout]) -> dict[str, float]:
    """Our advantage of each rollout, by its trajectory's name."""
    advantages = estimate([each["reward"] for each in rollouts], [each["_ng_task_index"] for each in rollouts])
    return {trajectory_of(each).trajectory_id: value for each, value in zip(rollouts, advantages, strict=True)}


def spread(advantages: list[float] | Any, batch: Any) -> list[list[float]]:
    """One advantage a row on each of its trained ids."""
    return packed(np.array(advantages)[:, None] * batch.loss_mask, batch)


@each_option
async def test_every_trained_id_reaches_its_tensors_with_its_log_prob(options: dict[str, Any]) -> None:
    rollouts = rollouts_of()
    batch, _ = await skyrls(rollouts, {}, **options)
    shape = "step_wise" if options.get("step_wise") else "whole"
    _, samples = ours(rollouts, shape)
    length = batch["loss_mask"].shape[1]
    masks = batch["loss_mask"].bool()
    for row, sample in enumerate(samples):
        assert batch["sequences"][row][batch["attention_mask"][row].bool()].tolist() == sample.ids.tolist()
        trained = batch["sequences"][row][-length:][masks[row]].tolist()
        assert trained == sample.ids[sample.loss_mask].tolist()
    recorded = [sample.log_probs[sample.loss_mask].tolist() for sample in samples]
    assert_same(on_trained(batch, "rollout_logprobs"), recorded)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("options", ALL[:2], ids=["final", "turn"])
async def test_one_row_a_rollout_gets_the_advantage_of_its_whole_reward(
    estimator: str, options: dict[str, Any]
) -> None:
    rollouts = rollouts_of()
    batch, _ = await skyrls(rollouts, {"advantage_estimator": estimator}, **options)
    advantages = by_rollout(ESTIMATORS[estimator], rollouts)
    mine, samples = ours(rollouts, "whole")
    assert_same(on_trained(batch, "advantages"), spread([advantages[each.trajectory_id] for each in samples], mine))


async def test_rewards_of_turns_reach_an_estimator_over_time_in_their_place() -> None:
    rollouts = rollouts_of()
    batch, _ = await skyrls(rollouts, {"advantage_estimator": "reinforce++"}, credit="turn")
    mine, _ = ours(rollouts, "whole")
    rewards = token_rewards("turn", mine.turn_rewards, mine.turn_end, mine.loss_mask)
    assert_same(on_trained(batch, "returns"), packed(reinforce_plus_plus(rewards, mine.loss_mask).returns, mine))


@pytest.mark.parametrize("estimator", ESTIMATORS)
async def test_step_wise_final_gives_all_steps_the_rollouts_advantage(estimator: str) -> None:
    rollouts = rollouts_of()
    batch, _ = await skyrls(rollouts, {"advantage_estimator": estimator}, credit="final", step_wise=True)
    advantages = by_rollout(ESTIMATORS[estimator], rollouts)
    mine, samples = ours(rollouts, "step_wise")
    assert_same(on_trained(batch, "advantages"), spread([advantages[each.trajectory_id] for each in samples], mine))


async def test_skyrl_itself_ignores_what_earlier_steps_earned() -> None:
    """Why a step with a reward of its own must be a trajectory of its own."""
    output = output_of(rollouts_of(), credit="final", step_wise=True)
    trainer = trainer_of(config_of(NUM_TASKS, NUM_SAMPLES, step_wise=True), Prepared(output))
    before = await learned_from(trainer, {"prompts": []}, [])
    earlier = [row for row, is_last in enumerate(output["is_last_step"] or []) if not is_last]
    assert earlier
    changed = output_of(rollouts_of(), credit="final", step_wise=True)
    for row in earlier:
        changed["rewards"][row] = 100.0
    trainer = trainer_of(config_of(NUM_TASKS, NUM_SAMPLES, step_wise=True), Prepared(changed))
    after = await learned_from(trainer, {"prompts": []}, [])
    assert torch.equal(before["advantages"], after["advantages"])


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("credit", ["turn", "return_to_go"])
async def test_step_wise_each_turns_own_reward_counts_against_all_turns_of_its_task(
    estimator: str, credit: str
) -> None:
    rollouts = rollouts_of()
    batch, _ = await skyrls(rollouts, {"advantage_estimator": estimator}, credit=credit, step_wise=True)
    mine, samples = ours(rollouts, "step_wise")
    rewards = [sample.reward if credit == "turn" else sample.return_to_go for sample in samples]
    advantages = ESTIMATORS[estimator](rewards, [sample.group_id for sample in samples])
    assert_same(on_trained(batch, "advantages"), spread(advantages, mine))


@pytest.mark.parametrize("discount", [0.0, 0.9])
async def test_turn_as_trajectory_compares_a_turn_with_the_same_turn_of_other_rollouts(discount: float) -> None:
    rollouts = rollouts_of()
    algorithm = {"advantage_estimator": "grpo", "grpo_norm_by_std": False}
    batch, _ = await skyrls(rollouts, algorithm, credit="turn_as_trajectory", step_wise=True, discount=discount)
    whole, _ = ours(rollouts, "whole")
    turns = turn_trajectories(whole.turn_rewards, whole.turn_end, whole.loss_mask, whole.group_ids, discount=discount)
    mine = packed(turns.to_tokens(grpo(turns.rewards, turns.groups, divide_by_std=False)), whole)
    theirs = on_trained(batch, "advantages")
    assert np.allclose(np.concatenate(theirs), np.concatenate(mine), atol=2e-5)


@pytest.mark.parametrize("options", [ALL[0], *ALL[2:5]], ids=lambda each: "-".join(map(str, each.values())))
async def test_failed_rollouts_move_no_baseline_and_train_nothing(options: dict[str, Any]) -> None:
    failing = ((0, 1), (2, 0), (2, 3))
    algorithm = {"advantage_estimator": "grpo", "grpo_norm_by_std": False}
    batch, trainer = await skyrls(rollouts_of(failing=failing), algorithm, **options)
    without = [each for each in rollouts_of(failing=failing) if "reward" in each]
    mine, samples = ours(without, "step_wise" if options.get("step_wise") else "whole")

    def estimate(rewards: Any, groups: Any) -> Any:
        return grpo(rewards, groups, divide_by_std=False)

    if options["credit"] == "final":
        advantages = [by_rollout(estimate, without)[each.trajectory_id] for each in samples]
    else:
        own = [each.reward if options["credit"] == "turn" else each.return_to_go for each in samples]
        advantages = estimate(own, [each.group_id for each in samples])
    assert_same([row for row in on_trained(batch, "advantages") if row], spread(advantages, mine))
    assert trainer.all_metrics["gym/num_failed/model_timeout"] == 3.0


async def test_its_metrics_are_those_of_the_episodes() -> None:
    rollouts = rollouts_of()
    for options in (ALL[0], ALL[2]):
        _, trainer = await skyrls(rollouts, {}, **options)
        mean = np.mean([each["reward"] for each in rollouts])
        assert trainer.all_metrics["reward/avg_raw_reward"] == pytest.approx(mean)
        assert trainer.all_metrics["gym/mean_reward"] == pytest.approx(mean)
        solved = {each["_ng_task_index"] for each in rollouts if each["reward"] > 0}
        assert trainer.all_metrics[f"reward/avg_pass_at_{NUM_SAMPLES}"] == len(solved) / NUM_TASKS


@each_option
def test_batches_can_be_put_together(options: dict[str, Any]) -> None:
    rollouts = rollouts_of()
    half = [[each for each in rollouts if (each["_ng_task_index"] == 0) is first] for first in (True, False)]
    step_wise = bool(options.get("step_wise"))
    together = concatenate_generator_outputs([output_of(part, **options) for part in half], step_wise=step_wise)
    at_once = output_of(rollouts, **options)
    for key in ("prompt_token_ids", "response_ids", "rewards", "loss_masks", "rollout_logprobs", "trajectory_ids"):
        assert together[key] == at_once[key], key
    assert together["rollout_metrics"]["gym/num_rollouts"] == len(rollouts)


@each_option
async def test_its_asynchronous_trainer_makes_the_same_batch_of_groups(options: dict[str, Any]) -> None:
    rollouts = rollouts_of()
    batch, trainer = await skyrls(rollouts, {}, **options)
    asynchronous = trainer_of(trainer.cfg, Prepared(None), FullyAsyncRayPPOTrainer)
    asynchronous.global_step, asynchronous.max_staleness_steps, asynchronous.trajectory_logger = 3, 2, None
    groups = []
    for task in range(NUM_TASKS):
        output = output_of([each for each in rollouts if each["_ng_task_index"] == task], **options)
        groups.append(GeneratedOutputGroup(output, str(task), global_step_when_scheduled=2))
    same = asynchronous.convert_generation_group_mini_batch_to_training_input(groups)
    same["values"] = None
    advantages = asynchronous.compute_advantages_and_returns(same)["advantages"]
    assert torch.equal(advantages, batch["advantages"])
    assert asynchronous.all_metrics["gym/num_rollouts"] == len(rollouts)


def test_its_merging_of_steps_gives_our_one_row_a_rollout() -> None:
    merged = merge_stepwise_output(output_of(rollouts_of(), credit="final", step_wise=True))
    whole = output_of(rollouts_of())
    for key in ("prompt_token_ids", "response_ids", "loss_masks", "rollout_logprobs", "rewards"):
        assert merged[key] == whole[key], key


def test_a_forked_rollout_is_one_row_unless_step_wise() -> None:
    fork = [turn_of(Said([1, 2], [3, 4], [-0.1, -0.2], 0.5)), turn_of(Said([1, 9], [5], [-0.3], 0.25))]
    rollouts = [rollout_of(*fork, _ng_task_index=0, _ng_rollout_index=number) for number in range(2)]
    metrics = get_metrics_from_generator_output(output_of(rollouts), ["0", "0"])
    assert (metrics["avg_score"], metrics["pass_at_n"]) == (0.75, 1.0)
    merged = merge_stepwise_output(output_of(rollouts, step_wise=True))
    assert merged["response_ids"] == [[3, 4], [5]] * 2, "a prompt that does not go on is not merged"
