"""Our estimators against TRL's and SkyRL's own code: where they agree, and each place where they do not.

What is learned here stands in docs/credit-and-advantages.md.
"""

# ruff: noqa: E402 - the trainers are imported where they are installed

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")
pytest.importorskip("trl", reason="needs the training extras: make test-training")
pytestmark = pytest.mark.training

from tests.with_trainers.skyrl_trainer import EOS, Prepared, config_of, learned_from, trainer_of  # isort: skip

from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from skyrl.backends.skyrl_train.utils import ppo_utils as skyrl
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from nemo_gym.training.advantages import gae, grpo, masked_whiten, reinforce_plus_plus, rloo
from nemo_gym.training.normalisation import normalise_rewards
from nemo_gym.training.skyrl import SkyRLOptions, episodes_of, generator_output
from tests.training.stored_rollouts import Said, rollout_of, turn_of
from tests.with_trainers.tiny import tiny_model, tiny_tokenizer

torch.set_num_threads(1)

any_speed = settings(deadline=None, max_examples=60)
SAMPLES, TASKS = 4, 3
seeds = st.integers(0, 2**32 - 1)
quarters = st.integers(-8, 8).map(lambda number: number / 4)
some_rewards = st.lists(quarters, min_size=SAMPLES * TASKS, max_size=SAMPLES * TASKS)
some_or_none = st.lists(quarters | st.none(), min_size=SAMPLES * TASKS, max_size=SAMPLES * TASKS)
GROUPS = [task for task in range(TASKS) for _ in range(SAMPLES)]
close = {"rel": 1e-4, "abs": 1e-4}


# TRL: the trainer's own method, from rewards to advantages.


class FixedRewards:
    """A reward function that says what it was told to; None: it cannot score this one."""

    __name__ = "fixed"

    def __init__(self) -> None:
        self.rewards: list[float | None] = []

    def __call__(self, prompts: list[Any], **columns: Any) -> list[float | None]:
        return self.rewards


@pytest.fixture(scope="module")
def trl(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(kind, options) → a function from rewards of each reward function to TRL's advantages; each trainer made once."""
    made: dict[Any, Any] = {}

    def of(kind: type[Any], num_functions: int = 1, **options: Any) -> Any:
        key = kind, num_functions, *sorted(options.items())
        if key not in made:
            made[key] = _trl_advantages(tmp_path_factory.mktemp("trl"), kind, num_functions, options)
        return made[key]

    return of


def _trl_advantages(folder: Path, kind: type[Any], num_functions: int, options: dict[str, Any]) -> Any:
    functions = [FixedRewards() for _ in range(num_functions)]
    config = (GRPOConfig if kind is GRPOTrainer else RLOOConfig)(
        str(folder),
        per_device_train_batch_size=SAMPLES * TASKS,
        num_generations=SAMPLES,
        max_completion_length=1,
        beta=0.0,
        report_to=[],
        use_cpu=True,
        bf16=False,
        **options,
    )
    rows = [{"prompt": f"task {task}"} for task in range(TASKS)]
    trainer = kind(
        tiny_model(), functions, args=config, train_dataset=Dataset.from_list(rows), processing_class=tiny_tokenizer()
    )
    trainer.model.train()

    def advantages(*rewards: list[float | None]) -> list[float]:
        for function, own in zip(functions, rewards, strict=True):
            function.rewards = own
        inputs = [rows[task] for task in GROUPS]
        result: list[float] = trainer._generate_and_score_completions(inputs)["advantages"].tolist()
        return result

    return advantages


few = settings(deadline=None, max_examples=12)


@few
@given(rewards=some_or_none)
def test_trl_grpo_without_division_is_ours(trl: Any, rewards: list[float | None]) -> None:
    theirs = trl(GRPOTrainer, scale_rewards="none")(rewards)
    assert theirs == pytest.approx(grpo(rewards, GROUPS, divide_by_std=False), **close)


@few
@given(rewards=some_or_none)
def test_trl_grpo_is_ours_with_its_epsilon(trl: Any, rewards: list[float | None]) -> None:
    theirs = trl(GRPOTrainer, scale_rewards="group")(rewards)
    assert theirs == pytest.approx(grpo(rewards, GROUPS, epsilon=1e-4), **close)


@few
@given(rewards=some_or_none)
def test_trl_scaled_by_the_batch_is_the_groups_deviation_over_the_batchs(trl: Any, rewards: list[float | None]) -> None:
    theirs = trl(GRPOTrainer, scale_rewards="batch")(rewards)
    scored = np.array([reward for reward in rewards if reward is not None])
    ours = grpo(rewards, GROUPS, divide_by_std=False) / (scored.std(ddof=1) + 1e-4 if scored.size > 1 else np.inf)
    assert theirs == pytest.approx(ours, **close)


@few
@given(first=some_rewards, second=some_rewards)
def test_trl_normalised_before_summing_is_a_sum_of_ours_normalised_over_the_batch(
    trl: Any, first: list[float], second: list[float]
) -> None:
    theirs = trl(GRPOTrainer, 2, multi_objective_aggregation="normalize_then_sum")(first, second)
    total = grpo(first, GROUPS, epsilon=1e-4) + grpo(second, GROUPS, epsilon=1e-4)
    ours = normalise_rewards(total, grouping="batch", method="mean_std", states=GROUPS, kinds=GROUPS, epsilon=1e-4)
    assert theirs == pytest.approx(ours, **close)


@few
@given(rewards=some_or_none)
def test_trl_rloo_is_ours(trl: Any, rewards: list[float | None]) -> None:
    assert trl(RLOOTrainer)(rewards) == pytest.approx(rloo(rewards, GROUPS), **close)


def test_trl_gives_equal_rewards_a_small_advantage_from_rounding_and_we_give_none(trl: Any) -> None:
    equal = [0.85, 0.85, 0.85, None] * TASKS
    assert grpo(equal, GROUPS).tolist() == [0.0] * len(equal)
    theirs = trl(GRPOTrainer, scale_rewards="group")(equal)
    assert 5e-4 < max(map(abs, theirs)) < 1e-3


# SkyRL: its functions over token rewards.


def on_last(rewards: list[float], mask: np.ndarray[Any, Any]) -> Any:
    """[B, T] with each reward on the row's last trained token."""
    dense = np.zeros(mask.shape)
    for row, reward in enumerate(rewards):
        dense[row, np.flatnonzero(mask[row])[-1]] = reward
    return torch.tensor(dense)


def responses(seed: int, rows: int = SAMPLES * TASKS) -> np.ndarray[Any, Any]:
    """[B, T] mask of responses without gaps, padded on the right; at least two tokens each."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 7, rows)
    return np.arange(8) < lengths[:, None]


def per_rollout(advantages: Any, mask: np.ndarray[Any, Any]) -> list[float]:
    return [float(row[own][0]) for row, own in zip(advantages.numpy(), mask, strict=True)]


@any_speed
@given(rewards=some_rewards, seed=seeds, by_std=st.booleans())
def test_skyrl_grpo_is_ours(rewards: list[float], seed: int, by_std: bool) -> None:
    mask = responses(seed)
    theirs, returns = skyrl.compute_grpo_outcome_advantage(
        on_last(rewards, mask), torch.tensor(mask).float(), np.array(GROUPS), grpo_norm_by_std=by_std
    )
    assert per_rollout(theirs, mask) == pytest.approx(grpo(rewards, GROUPS, divide_by_std=by_std), **close)
    assert torch.equal(theirs, returns)


@any_speed
@given(rewards=some_rewards, seed=seeds)
def test_skyrl_rloo_is_ours(rewards: list[float], seed: int) -> None:
    mask = responses(seed)
    theirs, _ = skyrl.compute_rloo_outcome_advantage(
        on_last(rewards, mask), torch.tensor(mask).float(), np.array(GROUPS)
    )
    assert per_rollout(theirs, mask) == pytest.approx(rloo(rewards, GROUPS), **close)


def test_skyrl_grpo_gives_a_rollout_alone_its_own_reward_and_we_give_it_nothing() -> None:
    mask = torch.ones(1, 2)
    theirs, _ = skyrl.compute_grpo_outcome_advantage(torch.tensor([[0.0, 0.75]]), mask, np.array(["alone"]))
    assert theirs.tolist()[0] == pytest.approx([0.75, 0.75], rel=1e-5)
    assert grpo([0.75], ["alone"]).tolist() == [0.0]


def test_skyrl_grpo_gives_equal_rewards_an_advantage_from_rounding_and_we_give_none() -> None:
    rewards = torch.tensor([[0.0, 0.97]] * 8)
    theirs, _ = skyrl.compute_grpo_outcome_advantage(rewards, torch.ones(8, 2), np.array(["task"] * 8))
    assert grpo([0.97] * 8, ["task"] * 8).tolist() == [0.0] * 8
    assert 0.1 < float(theirs.abs().max()) < 0.2


def test_skyrl_counts_a_failed_rollout_as_whatever_number_it_is_given() -> None:
    mask = torch.ones(2, 1)
    theirs, _ = skyrl.compute_rloo_outcome_advantage(torch.tensor([[1.0], [0.0]]), mask, np.array([0, 0]))
    assert theirs[0].item() == 1.0
    assert rloo([1.0, None], [0, 0]).tolist() == [0.0, 0.0]


@any_speed
@given(seed=seeds, gamma=st.floats(0, 1))
def test_skyrl_reinforce_plus_plus_is_ours_where_a_response_has_no_gap(seed: int, gamma: float) -> None:
    mask = responses(seed)
    rewards = np.where(mask, np.random.default_rng(seed).normal(size=mask.shape), 0.0)
    advantages, returns = skyrl.compute_reinforce_plus_plus_outcome_advantage(
        torch.tensor(rewards), torch.tensor(mask).double(), gamma
    )
    ours = reinforce_plus_plus(rewards, mask, gamma=gamma)
    assert returns.numpy()[mask] == pytest.approx(ours.returns[mask], **close)
    assert advantages.numpy()[mask] == pytest.approx(ours.advantages[mask], **close)


def test_skyrl_reinforce_plus_plus_starts_anew_at_each_masked_token_and_ours_goes_on() -> None:
    rewards, mask = [[0.0, 0.0, 0.0, 1.0, 0.5]], [[1.0, 1.0, 0.0, 1.0, 1.0]]
    _, returns = skyrl.compute_reinforce_plus_plus_outcome_advantage(torch.tensor(rewards), torch.tensor(mask), 1.0)
    assert returns.tolist() == [[0.0, 0.0, 1.5, 1.5, 0.5]]
    assert reinforce_plus_plus(rewards, mask).returns.tolist() == [[1.5, 1.5, 0.0, 1.5, 0.5]]


def test_skyrl_discounts_what_the_environment_said_where_it_counts_as_response_and_we_do_not() -> None:
    """Its trainer's `response_mask` covers the environment's tokens too."""
    rewards, whole, trained = [[0.0, 0.0, 0.0, 1.0]], [[1.0, 1.0, 1.0, 1.0]], [[1, 0, 0, 1]]
    _, returns = skyrl.compute_reinforce_plus_plus_outcome_advantage(torch.tensor(rewards), torch.tensor(whole), 0.5)
    assert returns[0, 0].item() == 0.125
    assert reinforce_plus_plus(rewards, trained, gamma=0.5).returns[0, 0] == 0.5


async def test_skyrls_response_mask_covers_the_environments_tokens_and_it_whitens_over_them() -> None:
    rollouts = []
    for number in range(2):
        first, second = Said([1, 2], [3, 4], [-0.1] * 2, 0.0), Said([1, 2, 3, 4, 8, 9], [5], [-0.1], 1.0 - number / 2)
        rollouts.append(rollout_of(turn_of(first), turn_of(second), _ng_task_index=0, _ng_rollout_index=number))
    output = generator_output(episodes_of(rollouts), SkyRLOptions(eos_token_id=EOS, credit="turn"))
    config = config_of(1, 2, advantage_estimator="reinforce++", gamma=0.5)
    batch = await learned_from(trainer_of(config, Prepared(output)), {"prompts": ["0", "0"]}, ["0", "0"])
    trained, counted = batch["loss_mask"].bool(), batch["response_mask"].bool()
    assert (trained.sum().item(), counted.sum().item()) == (6, 10)
    assert batch["returns"][0].tolist() == [0.0625, 0.125, 0.25, 0.5, 1.0]
    assert batch["advantages"][counted].mean().item() == pytest.approx(0.0, abs=1e-6)
    assert abs(batch["advantages"][trained].mean().item()) > 0.01


@any_speed
@given(seed=seeds, gamma=st.floats(0, 1), gae_lambda=st.floats(0, 1))
def test_skyrl_gae_is_ours_whitened_where_a_response_has_no_gap(seed: int, gamma: float, gae_lambda: float) -> None:
    mask = responses(seed)
    rng = np.random.default_rng(seed)
    rewards, values = (np.where(mask, rng.normal(size=mask.shape), 0.0) for _ in range(2))
    advantages, returns = skyrl.compute_gae_advantage_return(
        torch.tensor(rewards), torch.tensor(values), torch.tensor(mask).double(), gamma, gae_lambda
    )
    ours = gae(rewards, values, mask, gamma=gamma, gae_lambda=gae_lambda)
    assert returns.numpy()[mask] == pytest.approx(ours.returns[mask], **close)
    assert advantages.numpy()[mask] == pytest.approx(masked_whiten(ours.advantages, mask)[mask], **close)


def test_skyrl_gae_reads_the_critic_at_the_environments_tokens_and_beyond_the_end_and_ours_does_not() -> None:
    rewards, mask = torch.tensor([[0.0, 0.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    learned = []
    for elsewhere in (0.0, 5.0):
        values = torch.tensor([[0.5, elsewhere, 0.25, elsewhere]])
        _, returns = skyrl.compute_gae_advantage_return(rewards, values, mask, 1.0, 0.5)
        learned.append((returns[0, 0].item(), returns[0, 2].item()))
        ours = gae(rewards.numpy(), values.numpy(), mask.numpy(), gae_lambda=0.5)
        assert ours.returns[0, [0, 2]].tolist() == [0.625, 1.0]
    assert learned == [(0.3125, 1.0), (3.4375, 3.5)]


@any_speed
@given(seed=seeds)
def test_skyrl_whitening_is_ours_on_the_mask_and_not_zero_elsewhere(seed: int) -> None:
    mask = responses(seed)
    values = np.random.default_rng(seed).normal(1.0, 2.0, size=mask.shape)
    theirs = skyrl.masked_whiten(torch.tensor(values), torch.tensor(mask).double()).numpy()
    ours = masked_whiten(values, mask)
    assert theirs[mask] == pytest.approx(ours[mask], rel=1e-6, abs=1e-9)
    assert not ours[~mask].any() and theirs[~mask].all()


@pytest.mark.parametrize("mask", [[0.0, 0.0], [0.0, 1.0]])
def test_skyrl_whitening_fewer_than_two_tokens_raises_and_ours_gives_zeros(mask: list[float]) -> None:
    with pytest.raises(ValueError, match="mask"):
        skyrl.masked_whiten(torch.tensor([0.5, 2.0]), torch.tensor(mask))
    assert masked_whiten([0.5, 2.0], mask).tolist() == [0.0, 0.0]


def test_skyrl_dual_clip_bounds_what_a_bad_token_that_became_likely_costs() -> None:
    """`policy_loss_type: dual_clip` reads the log-probabilities that our samples carry; ratio 20, advantage -1."""
    new, old, advantages, mask = torch.zeros(1, 1), torch.tensor([[-np.log(20.0)]]), -torch.ones(1, 1), torch.ones(1, 1)
    correction = SimpleNamespace(
        tis_ratio_type=None,
        sequence_mask_metric=None,
        outlier_token_is_threshold_low=None,
        outlier_token_is_threshold_high=None,
        token_mask_is_threshold_low=None,
        token_mask_is_threshold_high=None,
    )
    losses = {
        kind: skyrl.ppo_policy_loss(
            new,
            old,
            advantages,
            SimpleNamespace(
                policy_loss_type=kind,
                eps_clip_low=0.2,
                eps_clip_high=0.2,
                clip_ratio_c=3.0,
                off_policy_correction=correction,
            ),
            mask,
        )[0].item()
        for kind in ("regular", "dual_clip")
    }
    assert losses == {"regular": pytest.approx(20.0), "dual_clip": pytest.approx(3.0)}
