"""TRL's own trainers train on rollouts of real servers: the masks that reach the loss, rewards, what does not fit."""

# ruff: noqa: E402 - what needs the trainers is imported where they are installed

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")
pytestmark = pytest.mark.training

from trl import GRPOTrainer

from nemo_gym.errors import ConfigError, DataError, MissingTokensError
from nemo_gym.training.rollouts import RunningGym
from nemo_gym.training.task_rows import dataset_row
from nemo_gym.training.trajectory import trajectory_of
from nemo_gym.training.trl import GymRollouts, RolloutOptions, dataset_of, gym_reward, task_row_of
from tests.with_trainers.conftest import StartGym
from tests.with_trainers.gyms import FORKING, LAKE, TOOLS, rows_of
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


class Plain(GRPOTrainer):
    """TRL's trainer, which keeps the tensors of each loss."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.losses: list[Json] = []
        super().__init__(*arguments, **named)

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        self.losses.append(inputs)
        return super()._compute_loss(model, inputs)


class Keeping(GymRollouts):
    """Keeps what it answers."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.outputs: list[Json] = []
        super().__init__(*arguments, **named)

    def __call__(self, prompts: Any, trainer: Any) -> Json:
        self.outputs.append(super().__call__(prompts, trainer))
        return dict(self.outputs[-1])


def trained(
    folder: Path, rows: list[Json], rollouts: GymRollouts, reward_funcs: Any = gym_reward, **options: Any
) -> Plain:
    trainer = Plain(
        tiny_model(),
        reward_funcs,
        args_for(folder, **options),
        dataset_of(rows),
        processing_class=tiny_tokenizer(),
        rollout_func=rollouts,
    )
    trainer.train()
    return trainer


def test_task_rows_come_back_from_a_dataset_sampler_and_collator_as_they_were(tmp_path: Path, gym: RunningGym) -> None:
    rows = [*rows_of(LAKE), *rows_of(TOOLS), {**rows_of(LAKE)[0], "odd": [None, 1.5, {"ü": "„“"}]}]
    trainer = trainer_for(tmp_path, rows, gym, per_device_train_batch_size=len(rows) * 4)
    [batch, *_] = trainer.get_train_dataloader()
    found = [task_row_of(one["prompt"]) for one in batch]
    assert sorted(map(str, found)) == sorted(str(row) for row in rows for _ in range(4))
    assert all(found[start] == found[start + offset] for start in range(0, len(found), 4) for offset in range(4))


def test_a_dataset_with_rows_in_a_column_serves_as_well(tmp_path: Path, gym: RunningGym) -> None:
    from datasets import Dataset

    rows = rows_of(LAKE)
    trainer = trainer_for(tmp_path, Dataset.from_list([dataset_row(row) for row in rows]), gym)
    assert [task_row_of(prompt) for prompt in trainer.train_dataset["prompt"]] == rows


@pytest.mark.parametrize("environment", [LAKE, TOOLS])
def test_exactly_the_sampled_tokens_are_trained_each_in_its_own_context(
    tmp_path: Path, gym: RunningGym, environment: str
) -> None:
    rollouts = Keeping(gym)
    trainer = trained(tmp_path, rows_of(environment), rollouts, per_device_train_batch_size=8)
    assert len(rollouts.outputs) == len(trainer.losses) == 2
    for output, inputs in zip(rollouts.outputs, trainer.losses, strict=True):
        expected = [pair for result in output["rollout"] for pair in sampled_tokens(result)]
        assert len(expected) > 100 and max(output["num_turns"]) > 1
        assert sorted(trained_tokens(rows_in(inputs))) == sorted(expected)


def test_recorded_log_probabilities_reach_the_loss(tmp_path: Path, gym: RunningGym) -> None:
    rollouts = Keeping(gym)
    trainer = trained(tmp_path, rows_of(LAKE), rollouts, max_steps=1)
    [output], [inputs] = rollouts.outputs, trainer.losses
    by_completion = {tuple(ids): one for ids, one in zip(output["completion_ids"], output["logprobs"], strict=True)}
    for row, (_, completion, _) in enumerate(rows_in(inputs)):
        found = inputs["sampling_per_token_logps"][row][: len(completion)]
        assert torch.equal(found, torch.tensor(by_completion[tuple(completion)]))


def test_reward_functions_get_what_the_rollout_was(tmp_path: Path, gym: RunningGym) -> None:
    seen: list[Json] = []

    def asking(prompts: Any, completions: Any, **told: Any) -> list[float]:
        seen.append(told)
        return [float(number) for number in told["num_turns"]]

    trainer = trained(tmp_path, rows_of(LAKE), GymRollouts(gym), [gym_reward, asking], max_steps=1)
    [told] = seen
    assert told["mode"] == ["multi_turn"] * 4 and set(told["fallback"]) == {"first"}
    assert told["mode_reason"] == ["the resources server offers /reset and /step"] * 4
    assert len(set(told["trajectory_id"])) == 4
    for rewards, reward, result in zip(told["turn_rewards"], told["rollout_reward"], told["rollout"], strict=True):
        assert sum(rewards) == pytest.approx(reward) and result["reward"] == reward
    assert logged(trainer, "rollouts/turns") == [pytest.approx(sum(told["num_turns"]) / 4)]


def test_failed_rollouts_have_no_reward_no_trained_token_and_no_part_in_the_baseline(
    tmp_path: Path, start_gym: StartGym
) -> None:
    gym = start_gym(LAKE, faults={"malformed_json": 0.15}, policy="random")
    rollouts = Keeping(gym, options=RolloutOptions(fallbacks=[]))
    trainer = trained(tmp_path, rows_of(LAKE), rollouts, per_device_train_batch_size=8, num_generations=8, max_steps=3)
    failures = [reward for output in rollouts.outputs for reward in output["rollout_reward"] if reward is None]
    assert 0 < len(failures) < 24, "some failed, not all"
    for step, (output, inputs) in enumerate(zip(rollouts.outputs, trainer.losses, strict=True)):
        rewards = torch.tensor([reward for reward in output["rollout_reward"] if reward is not None])
        advantages = dict.fromkeys(((reward - rewards.mean()) / (rewards.std() + 1e-4)).item() for reward in rewards)
        masked = [row for row, (_, _, mask) in enumerate(rows_in(inputs)) if not any(mask)]
        assert len(masked) == 8 - len(rewards)
        assert all(inputs["advantages"][row] == 0 for row in masked)
        others = [value.item() for row, value in enumerate(inputs["advantages"]) if row not in masked]
        assert all(min(abs(one - other) for other in advantages) < 1e-4 for one in others)
        assert output["failure_class"].count("model_error") == len(masked)
        assert logged(trainer, "rollouts/fallback/masked")[step] == len(masked)


def test_a_rollout_in_which_nothing_was_sampled_counts_with_its_reward_and_trains_nothing(
    tmp_path: Path, start_gym: StartGym
) -> None:
    gym = start_gym(LAKE, faults={"empty": 1.0})
    rollouts = Keeping(gym)
    trainer = trained(tmp_path, rows_of(LAKE), rollouts, max_steps=1)
    [output], [inputs] = rollouts.outputs, trainer.losses
    eos = tiny_tokenizer().eos_token_id
    assert output["completion_ids"] == [[eos]] * 4 and output["env_mask"] == [[0]] * 4
    assert None not in output["rollout_reward"] and all(len(ids) > 10 for ids in output["prompt_ids"])
    assert not any(any(mask) for _, _, mask in rows_in(inputs))
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())


def test_too_long_a_completion_loses_whole_turns_from_its_end(tmp_path: Path, gym: RunningGym) -> None:
    whole = Keeping(gym)
    trained(tmp_path, rows_of(LAKE)[1:2], whole, max_steps=1, num_generations=8, per_device_train_batch_size=8)
    longest = max(map(len, whole.outputs[0]["completion_ids"]))
    short = Keeping(gym)
    trainer = trained(
        tmp_path,
        rows_of(LAKE)[1:2],
        short,
        max_steps=1,
        num_generations=8,
        per_device_train_batch_size=8,
        max_completion_length=longest // 2,
    )
    [output] = short.outputs
    dropped = [index for index, turns in enumerate(output["dropped_turns"]) if turns]
    assert dropped and logged(trainer, "rollouts/dropped_turns")[0] > 0
    for index in dropped:
        calls = sampled_tokens(output["rollout"][index])
        kept = trained_tokens(
            [(output["prompt_ids"][index], output["completion_ids"][index], output["env_mask"][index])]
        )
        assert kept == calls[: len(kept)] and len(kept) < len(calls)
        assert len(output["completion_ids"][index]) <= longest // 2
        turns = [len(call.generated_ids) for call in trajectory_of(output["rollout"][index], group_id="").calls]
        assert len(kept) in [sum(turns[:number]) for number in range(len(turns))], "whole turns"
        assert output["rollout_reward"][index] == output["rollout"][index]["reward"]


def test_of_a_rollout_that_forked_the_rollout_function_trains_the_longest_segment(
    tmp_path: Path, gym: RunningGym
) -> None:
    rollouts = Keeping(gym)
    trainer = trained(
        tmp_path, rows_of(LAKE, FORKING)[1:2], rollouts, num_generations=8, per_device_train_batch_size=8, max_steps=1
    )
    [output], [inputs] = rollouts.outputs, trainer.losses
    assert max(output["num_forks"]) > 0
    sampled = [digest for result in output["rollout"] for digest in sampled_tokens(result)]
    found = trained_tokens(rows_in(inputs))
    assert not set(found) - set(sampled), "none in a context of its own making"
    assert len(found) < len(sampled)


def test_a_prompt_without_a_row_is_an_error_that_names_the_next_step(tmp_path: Path, gym: RunningGym) -> None:
    from datasets import Dataset

    trainer = Plain(
        tiny_model(),
        gym_reward,
        args_for(tmp_path),
        Dataset.from_list([{"prompt": [{"role": "user", "content": "Hello"}]}] * 4),
        processing_class=tiny_tokenizer(),
        rollout_func=GymRollouts(gym),
    )
    with pytest.raises(DataError, match="dataset_of"):
        trainer.train()


def test_what_is_no_task_row_is_an_error_that_names_its_place() -> None:
    with pytest.raises(DataError, match="rows:1: no `responses_create_params`"):
        dataset_of([rows_of(LAKE)[0], {"question": "?"}])


def test_options_that_a_rollout_function_cannot_heed_are_refused(tmp_path: Path, gym: RunningGym) -> None:
    options = RolloutOptions(num_batches_ahead=1, shape="step_wise", credit="turn_as_trajectory")
    with pytest.raises(ConfigError, match="GymGRPOTrainer") as caught:
        trained(tmp_path, rows_of(LAKE), GymRollouts(gym, options=options))
    assert [problem.key for problem in caught.value.problems] == ["num_batches_ahead", "shape", "credit"]


def test_a_rollout_that_is_not_to_be_trained_is_masked_and_has_no_reward(tmp_path: Path, gym: RunningGym) -> None:
    rollouts = Keeping(gym)
    rows = [{**rows_of(LAKE)[0], "instance_config": {"mask_sample": True}}, rows_of(LAKE)[1]]
    trainer = trained(tmp_path, rows, rollouts, per_device_train_batch_size=8, max_steps=1)
    [output], [inputs] = rollouts.outputs, trainer.losses
    assert sorted(one is None for one in output["rollout_reward"]) == [False] * 4 + [True] * 4
    for mask, reward in zip(output["env_mask"], output["rollout_reward"], strict=True):
        assert any(mask) == (reward is not None)
    assert sum(any(mask) for _, _, mask in rows_in(inputs)) == 4


def test_a_model_server_without_tokens_is_an_error_at_once(tmp_path: Path, start_gym: StartGym) -> None:
    gym = start_gym(LAKE, tokens={"enabled": False})
    with pytest.raises(MissingTokensError, match=r"tokens\.enabled"):
        trained(tmp_path, rows_of(LAKE), GymRollouts(gym))


def test_options_are_checked_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        args_for(tmp_path, estimator="gea", shape="window:2", async_timeout=0, fallbacks=["retri"])
    assert [problem.key for problem in caught.value.problems] == ["shape", "estimator", "fallbacks", "async_timeout"]
    with pytest.raises(ConfigError, match="`gae` takes `final`, `turn`"):
        args_for(tmp_path, estimator="gae", credit="return_to_go")


def test_a_gym_and_a_rollout_function_of_ones_own_contradict_each_other(tmp_path: Path, gym: RunningGym) -> None:
    with pytest.raises(ConfigError, match="rollout_func"):
        Recorded(tiny_model(), args=args_for(tmp_path), gym=gym, rollout_func=GymRollouts(gym))
