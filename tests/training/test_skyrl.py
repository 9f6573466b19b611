"""Rows for SkyRL, from stored rollouts of chosen ids: what stands where, whatever the credit."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_gym.errors import ConfigError, MissingTokensError, TrajectoryError
from nemo_gym.training.recipe import Recipe
from nemo_gym.training.skyrl import GeneratorOutput, SkyRLOptions, TrajectoryId, episodes_of, generator_output
from tests.training.stored_rollouts import Said, failed, rollout_of, silent_turn, turn_of

EOS = 99
FIRST, SECOND = Said([1, 2], [3, 4], [-0.1, -0.2], 0.25), Said([1, 2, 3, 4, 5], [6], [-0.3], 1.0)


def two_turns(task: int, number: int, first: float = 0.25, second: float = 1.0, **fields: Any) -> dict[str, Any]:
    turns = [turn_of(Said([1, 2], [3, 4], [-0.1, -0.2], first)), turn_of(Said([1, 2, 3, 4, 5], [6], [-0.3], second))]
    return rollout_of(*turns, **{"_ng_task_index": task, "_ng_rollout_index": number, **fields})


def one_turn(task: int, number: int, reward: float) -> dict[str, Any]:
    return rollout_of(turn_of(Said([1, 2], [7], [-0.5], reward)), _ng_task_index=task, _ng_rollout_index=number)


def output(*rollouts: dict[str, Any], **options: Any) -> GeneratorOutput:
    return generator_output(episodes_of(rollouts), SkyRLOptions(eos_token_id=EOS, **options))


def test_a_rollout_is_one_row_with_the_environments_ids_masked() -> None:
    rows = output(two_turns(0, 0))
    assert (rows["prompt_token_ids"], rows["response_ids"]) == ([[1, 2]], [[3, 4, 5, 6]])
    assert (rows["loss_masks"], rows["rollout_logprobs"]) == ([[1, 1, 0, 1]], [[-0.1, -0.2, 0.0, -0.3]])
    assert (rows["rewards"], rows["stop_reasons"], rows["is_last_step"]) == ([1.25], ["stop"], None)
    assert rows["trajectory_ids"] == [TrajectoryId("0", 0)]


def test_rollouts_of_a_task_lie_beside_each_other_whenever_they_finished() -> None:
    rows = output(two_turns(1, 0), one_turn(0, 1, 0.5), two_turns(1, 1), one_turn(0, 0, 0.75))
    assert [each.to_string() for each in rows["trajectory_ids"]] == ["0_0", "0_1", "1_0", "1_1"]
    assert rows["rewards"] == [0.75, 0.5, 1.25, 1.25]


def test_rewards_of_turns_stand_at_their_ends() -> None:
    assert output(two_turns(0, 0), credit="turn")["rewards"] == [[0.0, 0.25, 0.0, 1.0]]


def test_step_wise_final_puts_the_episodes_reward_on_the_last_step() -> None:
    rows = output(two_turns(0, 0), one_turn(0, 1, 0.5), step_wise=True)
    assert rows["prompt_token_ids"] == [[1, 2], [1, 2, 3, 4, 5], [1, 2]]
    assert rows["response_ids"] == [[3, 4], [6], [7]]
    assert rows["rewards"] == [0.0, 1.25, 0.5]
    assert rows["is_last_step"] == [False, True, True]
    assert all(type(each) is bool for each in rows["is_last_step"])
    assert [each.to_string() for each in rows["trajectory_ids"]] == ["0_0", "0_0", "0_1"]


@pytest.mark.parametrize(
    ("options", "rewards"),
    [
        ({"credit": "turn"}, [0.25, 1.0, 0.75, 0.0]),
        ({"credit": "return_to_go"}, [1.25, 1.0, 0.75, 0.0]),
        ({"credit": "return_to_go", "discount": 0.5}, [0.75, 1.0, 0.75, 0.0]),
        ({"credit": "turn_as_trajectory"}, [-0.25, 0.5, 0.25, -0.5]),
        ({"credit": "turn_as_trajectory", "discount": 1.0}, [0.25, 0.5, -0.25, -0.5]),
    ],
)
def test_turns_that_stand_alone_are_trajectories_of_their_own(options: dict[str, Any], rewards: list[float]) -> None:
    rows = output(two_turns(0, 0), two_turns(0, 1, 0.75, 0.0), step_wise=True, **options)
    assert rows["rewards"] == rewards
    assert rows["is_last_step"] == [True] * 4
    assert rows["trajectory_ids"] == [TrajectoryId("0", number) for number in range(4)]


def test_both_rewards_are_recorded_whatever_the_credit() -> None:
    for options in ({}, {"credit": "turn"}, {"step_wise": True}, {"credit": "return_to_go", "step_wise": True}):
        facts = output(two_turns(0, 0, reward_components={"all": 1.25}), **options)["env_metrics"]
        assert [reward for each in facts for reward in each["turn_rewards"]] == [0.25, 1.0]
        assert [reward for each in facts for reward in each["turn_returns"]] == [1.25, 1.0]
        assert all(each["episode_reward"] == 1.25 and each["rollout"] == "0_0" for each in facts)
        assert all(each["reward_components"] == {"all": 1.25} for each in facts)


@pytest.mark.parametrize(
    "options", [{}, {"credit": "turn"}, {"step_wise": True}, {"credit": "turn", "step_wise": True}]
)
def test_a_failed_rollout_is_a_masked_row_with_its_groups_mean(options: dict[str, Any]) -> None:
    rows = output(one_turn(0, 0, 0.5), failed(two_turns(0, 1)), one_turn(0, 2, 1.0), one_turn(1, 0, 9.0), **options)
    assert rows["response_ids"][1] == [EOS] and rows["prompt_token_ids"][1] == [1, 2]
    assert rows["loss_masks"] == [[1], [0], [1], [1]]
    assert rows["rewards"] == (
        [[0.5], [0.75], [1.0], [9.0]] if options == {"credit": "turn"} else [0.5, 0.75, 1.0, 9.0]
    )
    assert rows["stop_reasons"] == ["stop", "error", "stop", "stop"]
    assert rows["env_metrics"][1]["failure_class"] == "model_timeout"
    metrics = rows["rollout_metrics"]
    assert (metrics["gym/num_failed"], metrics["gym/num_failed/model_timeout"]) == (1.0, 1.0)
    assert metrics["gym/mean_reward"] == 3.5


def test_a_group_in_which_all_failed_has_reward_zero() -> None:
    rows = output(failed(two_turns(0, 0)), failed(silent_turns()))
    assert rows["rewards"] == [0.0, 0.0]
    assert rows["prompt_token_ids"] == [[1, 2], [EOS]]


def silent_turns() -> dict[str, Any]:
    return rollout_of(silent_turn(), _ng_task_index=0, _ng_rollout_index=1)


def test_a_rollout_in_which_nothing_was_sampled_keeps_its_reward_and_trains_nothing() -> None:
    rows = output(one_turn(0, 0, 1.0), silent_turns() | {"reward": -1.0})
    assert (rows["rewards"], rows["loss_masks"]) == ([1.0, -1.0], [[1], [0]])


@pytest.mark.parametrize("step_wise", [False, True])
def test_a_row_marked_as_not_to_be_learned_from_moves_nothing(step_wise: bool) -> None:
    masked = two_turns(0, 1, instance_config={"mask_sample": True})
    rows = output(one_turn(0, 0, 0.5), masked, one_turn(0, 2, 1.0), step_wise=step_wise)
    assert [any(mask) for mask in rows["loss_masks"]] == [True, *[False] * (1 + step_wise), True]
    assert rows["rewards"][-2:] == [0.75, 1.0]
    assert rows["rollout_metrics"]["gym/num_masked"] == 1.0


FORKED = rollout_of(
    turn_of(Said([1, 2], [3, 4], [-0.1, -0.2], 0.25)),
    turn_of(Said([1, 5], [6], [-0.3], 1.0)),
    _ng_task_index=0,
    _ng_rollout_index=0,
)


def test_of_a_forked_rollout_one_row_trains_the_last_segment_with_all_rewards() -> None:
    rows = output(FORKED)
    assert (rows["prompt_token_ids"], rows["response_ids"], rows["rewards"]) == ([[1, 5]], [[6]], [1.25])
    assert output(FORKED, credit="turn")["rewards"] == [[1.25]]
    assert (rows["rollout_metrics"]["gym/num_forks"], rows["rollout_metrics"]["gym/num_untrained_turns"]) == (1.0, 1.0)


def test_of_a_forked_rollout_step_wise_trains_everything() -> None:
    rows = output(FORKED, step_wise=True)
    assert rows["response_ids"] == [[3, 4], [6]]
    assert rows["rollout_metrics"]["gym/num_untrained_turns"] == 0.0


def test_turns_beyond_the_longest_length_are_left_out_and_their_rewards_kept() -> None:
    for options in ({}, {"step_wise": True}):
        rows = output(two_turns(0, 0), max_length=5, **options)
        assert (rows["response_ids"], rows["rewards"], rows["stop_reasons"]) == ([[3, 4]], [1.25], rows["stop_reasons"])
        assert rows["rollout_metrics"]["gym/num_untrained_turns"] == 1.0
    assert output(two_turns(0, 0), max_length=5)["stop_reasons"] == ["length"]
    assert output(two_turns(0, 0), max_length=5, credit="turn")["rewards"] == [[0.0, 1.25]]


@pytest.mark.parametrize("credit", ["return_to_go", "turn_as_trajectory"])
def test_a_credit_that_skyrl_would_add_up_is_refused_with_the_way_out(credit: Any) -> None:
    with pytest.raises(ConfigError, match=r"`credit`: .*step_wise_trajectories"):
        SkyRLOptions(eos_token_id=EOS, credit=credit)


def test_an_unknown_credit_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"`credit`: is `turns`; did you mean `turn`"):
        SkyRLOptions(eos_token_id=EOS, credit="turns")  # type: ignore[arg-type]


def test_a_recipe_whose_estimator_skyrl_lacks_is_refused() -> None:
    recipe = Recipe.read({"train_cfgs": {"multi_turn": True, "bi_level_gae": True}})
    with pytest.raises(ConfigError, match="asks for `bi_level_gae`, which SkyRL does not have"):
        SkyRLOptions.of(recipe, eos_token_id=EOS)


def test_a_discount_without_effect_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`discount`: is 0.9, yet `final` discounts nothing"):
        SkyRLOptions(eos_token_id=EOS, discount=0.9)


def test_a_recipe_says_how() -> None:
    generator: dict[str, Any] = {"step_wise_trajectories": True, "max_input_length": 29000}
    generator["sampling_params"] = {"max_generate_length": 3000}
    recipe = Recipe.read({"generator": generator, "credit": "turn_as_trajectory"})
    expected = SkyRLOptions(eos_token_id=EOS, credit="turn_as_trajectory", step_wise=True, max_length=32000)
    assert SkyRLOptions.of(recipe, eos_token_id=EOS) == expected
    returns = SkyRLOptions.of(Recipe.read({"generator": generator, "credit": "return_to_go"}), eos_token_id=EOS)
    assert (returns.credit, returns.discount) == ("return_to_go", 1.0)
    assert SkyRLOptions.of(Recipe.read({}), eos_token_id=EOS) == SkyRLOptions(eos_token_id=EOS)


def test_rollouts_without_ids_and_no_rollouts_at_all_are_refused() -> None:
    without = one_turn(0, 0, 1.0)
    del without["response"]["output"][0]["generation_token_ids"]
    with pytest.raises(MissingTokensError, match="token_source: none"):
        output(without)
    with pytest.raises(TrajectoryError, match="no rollouts"):
        output()


@given(seed=st.integers(0, 10_000), max_length=st.none() | st.integers(1, 40))
def test_whatever_happened_no_reward_is_lost_and_no_id_is_trained_twice(seed: int, max_length: int | None) -> None:
    rollouts = random_rollouts(random.Random(seed))
    for options in ({}, {"credit": "turn"}, {"step_wise": True}, {"credit": "turn", "step_wise": True}):
        rows = output(*rollouts, max_length=max_length, **options)
        count = len(rows["response_ids"])
        assert all(len(values) == count for key, values in rows.items() if isinstance(values, list))
        for row in range(count):
            lengths = {len(rows[key][row]) for key in ("response_ids", "loss_masks", "rollout_logprobs")}  # type: ignore[literal-required]
            assert lengths == {len(rows["response_ids"][row])} and 0 not in lengths
        trained = [
            response
            for ids, mask in zip(rows["response_ids"], rows["loss_masks"], strict=True)
            for response, learned in zip(ids, mask, strict=True)
            if learned
        ]
        assert len(trained) == len(set(trained)), "each sampled id here is one of a kind"
        if options.get("credit") != "turn" or not options.get("step_wise"):
            earned = defaultdict(float)
            for each, reward in zip(rows["trajectory_ids"], rows["rewards"], strict=True):
                earned[each] += sum(reward) if isinstance(reward, list) else reward
            for rollout in rollouts:
                if "reward" in rollout:
                    place = TrajectoryId(str(rollout["_ng_task_index"]), rollout["_ng_rollout_index"])
                    assert earned[place] == pytest.approx(rollout["reward"])


def random_rollouts(rng: random.Random) -> list[dict[str, Any]]:
    """Two tasks, up to three rollouts each: turns that go on or fork, silent ones, failures. All sampled ids differ."""
    sampled = itertools.count(1000)
    rollouts = []
    for task, number in itertools.product(range(2), range(rng.randint(1, 3))):
        prompt, turns = [1, 2], []
        for _ in range(rng.randint(1, 4)):
            if rng.random() < 0.2:
                turns.append(silent_turn(rng.choice([None, 0.5])))
                continue
            said = [next(sampled) for _ in range(rng.randint(0, 3))]
            turns.append(turn_of(Said(prompt, said, [-0.5] * len(said), rng.choice([None, -1.0, 0.25]))))
            prompt = [3] if rng.random() < 0.2 else [*prompt, *said, 4]
        rollout = rollout_of(*turns, _ng_task_index=task, _ng_rollout_index=number)
        rollouts.append(failed(rollout) if rng.random() < 0.2 else rollout)
    return rollouts
