"""The promise of the ledger, over ten thousand random rollouts whose tokenizer and template are out to break it."""

from __future__ import annotations

import random

import numpy as np
import pytest

from nemo_gym.training.samples import samples_of
from nemo_gym.training.trajectory import Trajectory, trajectory_of
from responses_api_models.scripted_model import adversarial_tokens as tokens
from tests.ledger.random_rollouts import Client, Rollout

BATCHES, A_BATCH = 20, 500


def as_trajectory(rollout: Rollout) -> Trajectory:
    stored = {
        "response": {"output": rollout.items},
        "turns": [{"output_items": 1} for _ in rollout.items],
        "reward": 1.0,
        "stop_reason": "completed",
    }
    return trajectory_of(stored, group_id="task", trajectory_id="rollout")


def check_what_was_sampled_is_what_is_trained(rollout: Rollout) -> Trajectory:
    """Every id of the trajectory was sampled, each in the context it was sampled in, and none is missing."""
    trajectory = as_trajectory(rollout)
    calls = trajectory.calls
    assert len(calls) == len(rollout.sampled)
    for call, (prompt, generated) in zip(calls, rollout.sampled, strict=True):
        assert call.prompt_ids.tolist() == prompt
        assert call.generated_ids.tolist() == generated
    return trajectory


@pytest.mark.parametrize("batch", range(BATCHES // 2))
async def test_an_append_only_rollout_is_one_sample_bit_by_bit(batch: int) -> None:
    for seed in range(batch * A_BATCH, (batch + 1) * A_BATCH):
        rollout = await Client(seed, rewrites=False).play(random.Random(seed).randrange(1, 8))
        trajectory = check_what_was_sampled_is_what_is_trained(rollout)
        assert trajectory.num_forks == 0, seed
        [sample] = samples_of(trajectory, "whole")
        prompt, generated = rollout.sampled[-1]
        assert sample.ids.tolist() == [*prompt, *generated]
        trained = np.concatenate([np.array(ids, dtype=np.int64) for _, ids in rollout.sampled])
        assert sample.ids[sample.loss_mask].tolist() == trained.tolist()


@pytest.mark.parametrize("batch", range(BATCHES // 2))
async def test_every_rewrite_is_a_recorded_fork_and_nothing_else_is(batch: int) -> None:
    rewrites = without_effect = 0
    for seed in range(10**6 + batch * A_BATCH, 10**6 + (batch + 1) * A_BATCH):
        rollout = await Client(seed, rewrites=True).play(random.Random(seed).randrange(1, 8))
        trajectory = check_what_was_sampled_is_what_is_trained(rollout)
        kept = 0
        for (before, generated), (prompt, _), added in zip(
            rollout.sampled, rollout.sampled[1:], rollout.added, strict=False
        ):
            continues = prompt[: len(before) + len(generated)] == [*before, *generated]
            assert continues or not added, f"{seed}: what was only added to became a fork"
            kept += continues and not added
        assert trajectory.num_forks == rollout.rewrites - kept, seed
        rewrites, without_effect = rewrites + rollout.rewrites, without_effect + kept
    # Where a client drops what the template left out anyway, the prompt may be the same to the last id.
    assert without_effect < 0.01 * rewrites
    assert rewrites > 200


async def test_what_stands_between_two_generations_is_what_the_template_writes_there() -> None:
    seen = 0
    for seed in range(300):
        rollout = await Client(seed, rewrites=False).play(5)
        for (before, generated), (prompt, _), added in zip(
            rollout.sampled, rollout.sampled[1:], rollout.added, strict=False
        ):
            said = "".join(f"[{message['role']}]\n{message['content']}{tokens.END_TEXT}\n" for message in added)
            ended = "" if generated[-1] == tokens.END else tokens.END_TEXT
            between = prompt[len(before) + len(generated) :]
            assert tokens.decode(between) == f"{ended}\n{said}[assistant]\n"
            seen += 1
    assert seen > 1000


async def test_the_same_rollouts_written_out_and_tokenized_again_would_not_be_what_was_sampled() -> None:
    differs = 0
    for seed in range(200):
        rollout = await Client(seed, rewrites=False).play(4)
        prompt, generated = rollout.sampled[-1]
        differs += tokens.encode(tokens.decode([*prompt, *generated])) != [*prompt, *generated]
    assert differs > 190
