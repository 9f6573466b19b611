"""Stored rollouts as token trajectories: ids as recorded, forks as segments, nothing invented."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nemo_gym.errors import MissingTokensError, TrajectoryError
from nemo_gym.training.trajectory import TokenSource, trajectories_of, trajectory_of
from responses_api_models.scripted_model.toy_tokens import decode, log_prob
from tests.rows import call, message
from tests.training.played import play
from tests.training.stored_rollouts import Said, failed, rollout_of, silent_turn, turn_of

FIRST = Said([1, 2], [3, 4], [-0.5, -0.25], reward=0.5)
SECOND = Said([1, 2, 3, 4, 5], [6], [-1.0], reward=1.0)


def test_a_call_keeps_ids_and_log_probs_as_recorded() -> None:
    trajectory = trajectory_of(rollout_of(turn_of(FIRST), turn_of(SECOND, terminated=True)))
    [segment] = trajectory.segments
    assert [call.ids.tolist() for call in segment.calls] == [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6]]
    assert [call.log_probs.tolist() for call in segment.calls] == [[-0.5, -0.25], [-1.0]]
    assert [call.items for call in segment.calls] == [(0, 1), (2, 3)]
    assert [(turn.reward, turn.terminated) for turn in trajectory.turns] == [(0.5, False), (1.0, True)]
    assert (trajectory.trajectory_id, trajectory.group_id) == ("3/1", "3")
    assert (trajectory.terminated, trajectory.truncated, trajectory.failed) == (True, False, False)


@pytest.mark.parametrize("spoken_before", [0, 1])
def test_a_call_of_several_items_spans_them_all(spoken_before: int) -> None:
    items, record = turn_of(FIRST)
    before = [{"role": "user", "content": "the environment speaks first"}] * spoken_before
    output = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
    said = [*before, {"type": "reasoning", "summary": []}, {**items[0], **call("look")}, output]
    trajectory = trajectory_of(rollout_of((said, record | {"output_items": len(said)}), turn_of(SECOND)))
    assert [one.items for one in trajectory.calls] == [
        (spoken_before, spoken_before + 2),
        (spoken_before + 3, spoken_before + 4),
    ]
    assert trajectory.calls[0].finish_reason == "tool_calls"


def test_a_prompt_that_does_not_extend_the_call_before_begins_a_segment() -> None:
    rewritten = Said([1, 2, 9, 9], [6], [-1.0])
    trajectory = trajectory_of(rollout_of(turn_of(FIRST), turn_of(rewritten)))
    assert [len(segment.calls) for segment in trajectory.segments] == [1, 1]
    assert [segment.common_prefix for segment in trajectory.segments] == [None, 2]
    assert trajectory.num_forks == 1


@pytest.mark.parametrize("prompt", [[1, 2], [1, 2, 3], []], ids=["unanswered", "answer cut", "nothing"])
def test_a_prompt_that_lost_some_of_the_last_answer_is_a_fork(prompt: list[int]) -> None:
    trajectory = trajectory_of(rollout_of(turn_of(FIRST), turn_of(Said(prompt, [6], [-1.0]))))
    assert trajectory.segments[1].common_prefix == len(prompt)


def test_an_answer_recorded_twice_was_sampled_once() -> None:
    trajectory = trajectory_of(rollout_of(turn_of(FIRST), turn_of(FIRST), turn_of(SECOND)))
    assert [turn.call for turn in trajectory.turns] == [0, 0, 1]
    assert trajectory.num_forks == 0
    assert trajectory.turn_rewards().tolist() == [0.5, 0.5, 1.0]


def test_the_same_answer_with_another_id_was_sampled_again() -> None:
    once, again = (Said([1, 2], [3], [-0.5], fields=(("id", name),)) for name in ("msg_1", "msg_2"))
    assert len(trajectory_of(rollout_of(turn_of(once), turn_of(again))).segments) == 2


def test_an_empty_generation_goes_on_in_the_same_segment() -> None:
    empty = Said([1, 2, 3, 4, 5], [], [])
    after = Said([1, 2, 3, 4, 5, 5], [7], [-2.0])
    trajectory = trajectory_of(rollout_of(turn_of(FIRST), turn_of(empty), silent_turn(), turn_of(after)))
    assert trajectory.num_forks == 0
    assert [turn.call for turn in trajectory.turns] == [0, 1, None, 2]
    assert trajectory.token_source is TokenSource.RECORDED


def test_what_the_reward_holds_beyond_the_turns_is_the_last_sampled_turns() -> None:
    turns = [turn_of(FIRST), turn_of(SECOND), silent_turn(-0.5)]
    assert trajectory_of(rollout_of(*turns, reward=3.0)).turn_rewards().tolist() == [0.5, 3.0, -0.5]
    assert trajectory_of(rollout_of(*turns)).turn_rewards().tolist() == [0.5, 1.0, -0.5]


def test_a_rollout_without_ids_says_so_and_names_the_key() -> None:
    said = ([message("a")], {"output_items": 1, "reward": 1.0})
    trajectory = trajectory_of(rollout_of(said))
    assert trajectory.token_source == "none"
    assert trajectory.calls == ()
    with pytest.raises(MissingTokensError, match=r"token_source: none.*return_token_id_information: true"):
        trajectory.require_tokens()


def test_a_rollout_with_ids_in_some_calls_only_is_partial() -> None:
    without = ([message("a")], {"output_items": 1, "reward": None})
    assert trajectory_of(rollout_of(turn_of(FIRST), without)).token_source == "partial"


def test_a_rollout_whose_agent_records_no_turns_has_one_for_each_call() -> None:
    rollout = rollout_of(turn_of(FIRST), turn_of(SECOND)) | {"turns": []}
    trajectory = trajectory_of(rollout)
    assert [turn.call for turn in trajectory.turns] == [0, 1]
    assert trajectory.turn_rewards().tolist() == [0.0, 1.5]


def test_weights_are_told_where_the_server_tells_them() -> None:
    told = Said([1], [2], [-1.0], fields=(("policy_version", 7),))
    untold = Said([1, 2, 3], [4], [-1.0])
    calls = trajectory_of(rollout_of(turn_of(told), turn_of(untold))).calls
    assert [call.policy_version for call in calls] == [7, None]


def test_a_generation_that_was_cut_off_says_so() -> None:
    cut = Said([1], [2], [-1.0], fields=(("status", "incomplete"),))
    trajectory = trajectory_of(rollout_of(turn_of(cut), stop_reason="incomplete"))
    assert (trajectory.calls[0].finish_reason, trajectory.truncated) == ("length", True)


def test_a_failed_rollout_has_no_reward() -> None:
    trajectory = trajectory_of(failed(rollout_of(turn_of(FIRST))))
    assert (trajectory.reward, trajectory.failure_class) == (None, "model_timeout")
    assert not trajectory.terminated and not trajectory.truncated
    with pytest.raises(TrajectoryError, match="model_timeout"):
        trajectory.turn_rewards()


@pytest.mark.parametrize(
    ("generated", "log_probs", "said"),
    [
        ([3, 4], [-1.0], "2 `generation_token_ids` and 1 `generation_log_probs`"),
        ([3], [float("nan")], "must be finite"),
        ([3], [None], "must be a list of numbers"),
        ([3.5], [-1.0], "whole numbers"),
        ([-3], [-1.0], "whole numbers"),
        ([[3]], [-1.0], "list of numbers"),
        ("ab", [-1.0], "list of numbers"),
    ],
)
def test_ids_that_cannot_be_are_refused_with_their_place(generated: Any, log_probs: Any, said: str) -> None:
    with pytest.raises(TrajectoryError, match=rf"rollout 3/1, response.output\[0\].*{said}"):
        trajectory_of(rollout_of(turn_of(Said([1], generated, log_probs))))


@pytest.mark.parametrize("reward", [None, float("nan"), True, "1"])
def test_a_rollout_without_reward_that_did_not_fail_is_refused(reward: Any) -> None:
    with pytest.raises(TrajectoryError, match="`reward` is"):
        trajectory_of(rollout_of(turn_of(FIRST), reward=reward))


def test_turns_that_do_not_cover_the_output_are_refused() -> None:
    rollout = rollout_of(turn_of(FIRST))
    rollout["response"]["output"].append(message("whose?"))
    with pytest.raises(TrajectoryError, match=r"`turns` count 2 items, `response.output` holds 3"):
        trajectory_of(rollout)


def test_a_rollout_of_no_known_task_needs_a_group() -> None:
    rollout = {key: value for key, value in rollout_of(turn_of(FIRST)).items() if not key.startswith("_ng")}
    with pytest.raises(TrajectoryError, match="give `trajectory_id`"):
        trajectory_of(rollout)
    with pytest.raises(TrajectoryError, match="give `group_id`"):
        trajectory_of(rollout, trajectory_id="a")
    assert trajectory_of(rollout, trajectory_id="a", group_id="g").group_id == "g"


async def test_a_played_rollout_is_one_segment_of_the_ids_that_were_sampled() -> None:
    for trajectory in trajectories_of(await play("example_multi_turn")):
        assert trajectory.num_forks == 0
        assert len(trajectory.calls) == 3
        for one in trajectory.calls:
            before = [one.prompt_ids[-1], *one.generated_ids[:-1]]
            expected = [log_prob(int(a), int(b)) for a, b in zip(before, one.generated_ids, strict=True)]
            assert one.log_probs.tolist() == expected
            assert "otal:" in decode(one.generated_ids.tolist())
        assert trajectory.turn_rewards().sum() == pytest.approx(trajectory.reward)


async def test_a_played_rollout_as_one_message_forks_at_each_turn() -> None:
    stored = await play("example_multi_turn", agent={"use_conversation_multi_turn": False})
    for rollout, trajectory in zip(stored, trajectories_of(stored), strict=True):
        assert len(rollout["turns"]) == len(trajectory.segments) == 3
        assert all(segment.common_prefix for segment in trajectory.segments[1:])


async def test_a_played_rollout_without_toy_tokens_has_none() -> None:
    for trajectory in trajectories_of(await play("example_multi_turn", tokens={"enabled": False})):
        assert trajectory.token_source is TokenSource.NONE


async def test_a_played_rollout_with_tools_spans_calls_and_reads_back_from_a_file() -> None:
    stored = await play("example_multi_step")
    again = json.loads(json.dumps(stored))
    for rollout, trajectory in zip(stored, trajectories_of(again), strict=True):
        assert trajectory.num_forks == 0
        assert trajectory.calls[0].finish_reason == "tool_calls"
        for one in trajectory.calls:
            first, end = one.items
            kinds = [item.get("type", "message") for item in rollout["response"]["output"][first:end]]
            assert "function_call_output" not in kinds
