"""Samples from stored rollouts: every sampled token trained once, at its log-prob, with its reward."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_gym.errors import MissingTokensError, TrajectoryError
from nemo_gym.training.samples import Sample, samples_of, samples_of_all
from nemo_gym.training.trajectory import trajectories_of, trajectory_of
from tests.rows import message
from tests.training.played import ROOT, play
from tests.training.stored_rollouts import Said, failed, rollout_of, silent_turn, turn_of

SHAPES = ["whole", "step_wise", "window:1", "window:2", "single_turn"]
SAMPLED = st.integers(0, 99)
PLACED = st.integers(100, 199)
"""Ids that only the environment says, so that no made-up history looks like a continued one."""
REWARDS = st.integers(-4, 4).map(lambda quarters: quarters / 4)


@st.composite
def conversations(draw: st.DrawFn, *, rewrites: bool, smallest_answer: int = 1) -> tuple[list[Said], int]:
    """Model calls of one rollout and how often their history was rewritten. Each sampled log-prob is another one."""
    calls: list[Said] = []
    num_rewrites = 0
    prompt = draw(st.lists(PLACED, min_size=1, max_size=4))
    for number in range(draw(st.integers(1, 6))):
        if number:
            heard = draw(st.lists(PLACED, max_size=3))
            if rewrites and draw(st.booleans()):
                prompt = [*draw(st.sampled_from([[1000 + number], prompt])), *heard]
                num_rewrites += 1
            else:
                prompt = [*prompt, *calls[-1].generated, *heard]
        generated = draw(st.lists(SAMPLED, min_size=smallest_answer, max_size=4))
        log_probs = draw(st.lists(st.floats(-50, 0), min_size=len(generated), max_size=len(generated)))
        item_id = ("id", f"msg_{number}")
        calls.append(Said(prompt, generated, log_probs, draw(REWARDS), (item_id,)))
    return calls, num_rewrites


def built(calls: list[Said], shape: str, **options: Any) -> list[Sample]:
    return samples_of(trajectory_of(rollout_of(*map(turn_of, calls))), shape, **options)


def check(sample: Sample) -> None:
    """What holds for every sample."""
    length = len(sample.ids)
    arrays = [sample.response_mask, sample.loss_mask, sample.turn_id, sample.turn_end, sample.log_probs]
    assert all(array.shape == (length,) for array in [*arrays, sample.token_rewards])
    assert not (sample.loss_mask & ~sample.response_mask).any()
    assert not sample.response_mask[: sample.prompt_length].any()
    assert ((sample.turn_id >= 0) == sample.response_mask).all()
    assert not sample.log_probs[~sample.response_mask].any()
    assert not sample.token_rewards[~sample.turn_end].any()
    assert sample.turn_end.sum() == len(sample.turns) == len(sample.policy_versions) == len(sample.finish_reasons)
    for turn, position in zip(sample.turns, np.flatnonzero(sample.turn_end), strict=True):
        assert position == np.flatnonzero(sample.loss_mask & (sample.turn_id == turn))[-1]
    assert sample.token_rewards[sample.turn_end].tolist() == sample.turn_rewards.tolist()
    if sample.reward is not None:
        assert sample.token_rewards.sum() + sample.dropped_reward == pytest.approx(sample.reward)
    assert type(sample.is_last_step) is bool


def trained(samples: list[Sample]) -> list[tuple[int, int, float]]:
    """Turn, id and log-prob of each trained token, in order."""
    return [
        (int(turn), int(token), float(log_prob))
        for one in samples
        for turn, token, log_prob in zip(
            one.turn_id[one.loss_mask], one.ids[one.loss_mask], one.log_probs[one.loss_mask], strict=True
        )
    ]


def sampled(calls: list[Said]) -> list[tuple[int, int, float]]:
    return [
        (turn, *pair) for turn, call in enumerate(calls) for pair in zip(call.generated, call.log_probs, strict=True)
    ]


@given(conversations(rewrites=False))
def test_whole_is_one_sample_of_the_last_prompt_and_the_last_answer(drawn: tuple[list[Said], int]) -> None:
    calls, _ = drawn
    [sample] = built(calls, "whole")
    check(sample)
    assert sample.ids.tolist() == calls[-1].prompt + calls[-1].generated
    assert trained([sample]) == sampled(calls)
    assert sample.token_rewards[sample.turn_end].tolist() == [call.reward for call in calls]
    assert sample.prompt_length == len(calls[0].prompt)


@given(conversations(rewrites=True))
def test_a_rewritten_history_adds_a_segment_and_loses_no_token(drawn: tuple[list[Said], int]) -> None:
    calls, num_rewrites = drawn
    samples = built(calls, "whole")
    assert len(samples) == 1 + num_rewrites
    assert trained(samples) == sampled(calls)
    assert [sample.is_last_step for sample in samples] == [False] * num_rewrites + [True]


@given(conversations(rewrites=True, smallest_answer=0), st.sampled_from(SHAPES))
def test_every_shape_trains_each_sampled_token_once_and_keeps_the_reward(
    drawn: tuple[list[Said], int], shape: str
) -> None:
    calls, _ = drawn
    samples = built(calls, shape)
    for sample in samples:
        check(sample)
    assert trained(samples) == sampled(calls)
    total = sum(call.reward or 0.0 for call in calls)
    assert sum(sample.reward or 0.0 for sample in samples) == pytest.approx(total)
    assert samples[0].return_to_go == pytest.approx(total)
    assert [sample.step for sample in samples] == list(range(len(samples)))


@given(conversations(rewrites=True, smallest_answer=0), st.sampled_from(SHAPES), st.integers(0, 20))
def test_a_maximum_length_drops_whole_turns_and_says_what_they_earned(
    drawn: tuple[list[Said], int], shape: str, max_length: int
) -> None:
    calls, _ = drawn
    samples, unlimited = built(calls, shape, max_length=max_length), built(calls, shape)
    assert len(samples) == len(unlimited)
    for sample, whole in zip(samples, unlimited, strict=True):
        ends = np.flatnonzero(whole.turn_end).tolist()
        fitting = [turn for turn, position in zip(whole.turns, ends, strict=True) if position < max_length]
        assert sample.turns == tuple(fitting)
    for sample in samples:
        check(sample)
        assert len(sample.ids) <= max_length
        for turn in sample.turns:
            assert sample.ids[sample.turn_id == turn].tolist() == calls[turn].generated
        assert sample.truncated == any(calls[turn].generated for turn in sample.dropped_turns)
    turns = sorted(turn for sample in samples for turn in (*sample.turns, *sample.dropped_turns))
    assert turns == list(range(len(calls)))
    total = sum(call.reward or 0.0 for call in calls)
    assert sum(sample.reward or 0.0 for sample in samples) == pytest.approx(total)


@given(conversations(rewrites=True))
def test_a_step_has_all_that_the_policy_saw_as_prompt(drawn: tuple[list[Said], int]) -> None:
    calls, _ = drawn
    samples = built(calls, "step_wise")
    for turn, (sample, call) in enumerate(zip(samples, calls, strict=True)):
        assert sample.ids.tolist() == call.prompt + call.generated
        assert (sample.prompt_length, sample.turns) == (len(call.prompt), (turn,))
        assert sample.reward == call.reward
        assert sample.return_to_go == pytest.approx(sum(later.reward or 0.0 for later in calls[turn:]))
        assert sample.is_last_step is (turn == len(calls) - 1)
        assert sample.recorded_context


@given(conversations(rewrites=True))
def test_merged_steps_train_the_same_tokens_with_the_same_returns(drawn: tuple[list[Said], int]) -> None:
    calls, num_rewrites = drawn
    apart, merged = built(calls, "step_wise"), built(calls, "step_wise", merge_prefixes=True)
    assert len(merged) == 1 + num_rewrites
    assert trained(merged) == trained(apart)
    returns = [value for sample in merged for value in sample.turn_returns.tolist()]
    assert returns == [sample.return_to_go for sample in apart]


def test_a_window_keeps_the_first_prompt_and_the_last_turns() -> None:
    calls = [
        Said([100], [1], [-1.0]),
        Said([100, 1, 101], [2], [-2.0]),
        Said([100, 1, 101, 2, 102], [3], [-3.0]),
    ]
    assert [one.ids.tolist() for one in built(calls, "window:2")] == [
        [100, 1],
        [100, 1, 101, 2],
        [100, 101, 2, 102, 3],
    ]
    assert [one.ids.tolist() for one in built(calls, "single_turn")] == [[100, 1], [100, 101, 2], [100, 102, 3]]
    assert [one.recorded_context for one in built(calls, "window:2")] == [True, True, False]
    assert [one.ids.tolist() for one in built(calls, "window:3")] == [
        one.ids.tolist() for one in built(calls, "step_wise")
    ]


FIRST = Said([100], [1], [-1.0], reward=1.0, fields=(("policy_version", 4),))
LATER = Said([100, 1, 101], [2], [-2.0], reward=2.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_failed_rollout_is_one_placeholder_without_reward(shape: str) -> None:
    for rollout in (failed(rollout_of(turn_of(FIRST), turn_of(LATER))), failed(rollout_of())):
        [sample] = samples_of(trajectory_of(rollout), shape)
        check(sample)
        assert sample.is_placeholder and sample.is_last_step
        assert (sample.reward, sample.return_to_go, sample.episode_reward) == (None, None, None)
        assert (sample.failure_class, sample.group_id) == ("model_timeout", "3")
        assert sample.ids.tolist() in ([100], [])


def test_a_rollout_without_ids_gives_no_samples() -> None:
    trajectory = trajectory_of(rollout_of(([message("a")], {"output_items": 1, "reward": 1.0})))
    with pytest.raises(MissingTokensError, match="return_token_id_information"):
        samples_of(trajectory)


def test_an_answer_recorded_twice_is_trained_once_with_both_rewards() -> None:
    [sample] = samples_of(trajectory_of(rollout_of(turn_of(FIRST), turn_of(FIRST), turn_of(LATER))))
    assert sample.ids.tolist() == [100, 1, 101, 2]
    assert (sample.turns, sample.turn_rewards.tolist()) == ((0, 2), [2.0, 2.0])


def test_a_turn_in_which_nothing_was_sampled_is_dropped_with_its_reward() -> None:
    rollout = rollout_of(silent_turn(-1.0), turn_of(FIRST), turn_of(LATER), silent_turn(-2.0))
    first, last = samples_of(trajectory_of(rollout), "step_wise")
    assert (first.dropped_turns, first.dropped_reward, first.reward) == ((0,), -1.0, 0.0)
    assert (last.dropped_turns, last.dropped_reward, last.reward) == ((3,), -2.0, 0.0)
    assert (first.turn_rewards.tolist(), last.turn_rewards.tolist()) == ([1.0], [2.0])
    assert not last.truncated


@pytest.mark.parametrize("turns", [(), (silent_turn(0.5),), (turn_of(Said([100], [], [], reward=0.5)),)])
def test_a_rollout_that_sampled_nothing_is_a_placeholder_with_its_reward(turns: Any) -> None:
    [sample] = samples_of(trajectory_of(rollout_of(*turns, reward=0.5)))
    check(sample)
    assert sample.is_placeholder
    assert (sample.reward, sample.dropped_reward, sample.failure_class) == (0.5, 0.5, None)


def test_what_is_known_of_a_turn_stands_beside_it() -> None:
    rollout = rollout_of(turn_of(FIRST), turn_of(LATER), stop_reason="max_steps", reward_components={"a": 1, "b": 2})
    [sample] = samples_of(trajectory_of(rollout))
    assert (sample.policy_versions, sample.finish_reasons) == ((4, None), ("stop", "stop"))
    assert (sample.stop_reason, sample.truncated) == ("max_steps", True)
    assert dict(sample.reward_components) == {"a": 1, "b": 2}
    assert (sample.ids.dtype, sample.loss_mask.dtype, sample.log_probs.dtype) == (np.int64, np.bool_, np.float64)


@pytest.mark.parametrize("shape", ["window:0", "window:", "window:x", "window", "all"])
def test_an_unknown_shape_is_refused_with_those_there_are(shape: str) -> None:
    with pytest.raises(TrajectoryError, match=rf"shape is `{shape}`; shapes are `whole`"):
        built([FIRST], shape)


def test_only_steps_can_be_merged() -> None:
    with pytest.raises(TrajectoryError, match="merge_prefixes"):
        built([FIRST], "whole", merge_prefixes=True)


@pytest.mark.parametrize("environment", ["example_multi_turn", "frozen_lake", "example_multi_step"])
async def test_played_rollouts_become_samples_of_every_shape(environment: str) -> None:
    stored = await play(environment)
    trajectories = trajectories_of(stored)
    expected = [
        (call.turn, int(token), float(log_prob))
        for trajectory in trajectories
        for call in trajectory.calls
        for token, log_prob in zip(call.generated_ids, call.log_probs, strict=True)
    ]
    assert len(samples_of_all(trajectories)) == len(stored) == 5
    for shape in SHAPES:
        samples = samples_of_all(trajectories, shape)
        for sample in samples:
            check(sample)
        assert trained(samples) == expected
        rewards = [sum(one.reward or 0.0 for one in samples if one.group_id == str(task)) for task in range(5)]
        assert rewards == pytest.approx([rollout["reward"] for rollout in stored])


async def test_a_played_rollout_that_outgrows_the_model_is_a_placeholder_or_what_fitted() -> None:
    for sample in samples_of_all(trajectories_of(await play("example_multi_turn", context_length=10))):
        assert (sample.failure_class, sample.reward, len(sample.ids)) == ("context_overflow", None, 0)
    stored = await play("example_multi_turn", context_length=225, agent={"stop_on_overflow": True})
    assert {rollout["stop_reason"] for rollout in stored} == {"context_overflow"}
    for sample in samples_of_all(trajectories_of(stored)):
        check(sample)
        assert sample.truncated and sample.turns and sample.reward == sample.episode_reward


async def test_a_played_rollout_with_empty_answers_keeps_its_reward() -> None:
    stored = await play("example_multi_turn", faults={"empty": 0.3}, seed=3)
    assert {rollout["stop_reason"] for rollout in stored} == {"no_message", "terminated"}
    for rollout, trajectory in zip(stored, trajectories_of(stored), strict=True):
        [sample] = samples_of(trajectory)
        check(sample)
        assert sample.reward == rollout["reward"]
        assert bool(sample.dropped_turns) == (rollout["stop_reason"] == "no_message")


async def test_the_page_on_samples_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "samples.md").read_text(encoding="utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    results = tmp_path / "results" / "rollouts.jsonl"
    results.parent.mkdir()
    results.write_text("".join(json.dumps(one) + "\n" for one in await play("example_multi_turn")), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/samples.md", "exec"), names)
    assert len(names["whole"]) == 5 and len(names["steps"]) == 15
