"""One rollout as verl's agent loop gives it: lengths, masks, rewards, and the facts beside them."""

from __future__ import annotations

from typing import Any

import pytest

from nemo_gym.errors import MissingTokensError
from nemo_gym.training.verl import AgentLoopOutput, agent_loop_output
from tests.training.stored_rollouts import Said, failed, rollout_of, silent_turn, turn_of

EOS = 99


def output(rollout: dict[str, Any], *, prompt_length: int = 8, response_length: int = 8) -> AgentLoopOutput:
    return agent_loop_output(rollout, prompt_length=prompt_length, response_length=response_length, eos_token_id=EOS)


def two_turns(**fields: Any) -> dict[str, Any]:
    first = Said([1, 2], [3, 4], [-0.1, -0.2], 0.25, (("policy_version", 5),))
    second = Said([1, 2, 3, 4, 5], [6], [-0.3], 1.0, (("policy_version", 6),))
    return rollout_of(turn_of(first), turn_of(second), **fields)


def test_a_rollout_is_prompt_and_response_with_the_environments_ids_masked() -> None:
    found = output(two_turns(timings={"model_s": 2.0, "tools_s": 0.5, "step_s": 0.25, "verify_s": 0.125}))
    assert (found["prompt_ids"], found["response_ids"]) == ([1, 2], [3, 4, 5, 6])
    assert (found["response_mask"], found["response_logprobs"]) == ([1, 1, 0, 1], [-0.1, -0.2, 0.0, -0.3])
    assert (found["reward_score"], found["num_turns"]) == (1.25, 4)
    assert found["metrics"] == {"generate_sequences": 2.0, "tool_calls": 0.75, "compute_score": 0.125}


def test_what_verl_does_not_ask_for_travels_beside() -> None:
    extra = output(two_turns(reward_components={"all": 1.25}))["extra_fields"]
    assert (extra["turn_scores"], extra["reward_components"]) == ([0.25, 1.0], {"all": 1.25})
    assert (extra["min_global_steps"], extra["max_global_steps"]) == (5, 6)
    assert extra["reward_extra_info"] == {
        "gym_failed": 0.0,
        "gym_turns": 2.0,
        "gym_forks": 0.0,
        "gym_untrained_turns": 0.0,
    }


def test_turns_that_do_not_fit_are_not_trained_and_the_reward_stays_whole() -> None:
    found = output(two_turns(), response_length=3)
    assert (found["response_ids"], found["reward_score"]) == ([3, 4], 1.25)
    assert found["extra_fields"]["reward_extra_info"]["gym_untrained_turns"] == 1.0


@pytest.mark.parametrize(
    ("rollout", "lengths", "reward"),
    [
        (two_turns(), {"prompt_length": 1}, 1.25),
        (two_turns(), {"response_length": 1}, 1.25),
        (failed(two_turns()), {}, 0.0),
        (rollout_of(silent_turn(-1.0)), {}, -1.0),
    ],
    ids=["long prompt", "long answer", "failed", "silent"],
)
def test_what_cannot_be_trained_is_one_masked_id_with_its_reward(
    rollout: dict[str, Any], lengths: dict[str, int], reward: float
) -> None:
    found = output(rollout, **lengths)
    assert (found["response_ids"], found["response_mask"], found["response_logprobs"]) == ([EOS], [0], [0.0])
    assert (found["prompt_ids"], found["reward_score"]) == ([EOS], reward)


def test_keys_beside_are_the_same_for_all_rollouts() -> None:
    one, other = output(two_turns())["extra_fields"], output(failed(two_turns()))["extra_fields"]
    assert one.keys() == other.keys() and one["reward_extra_info"].keys() == other["reward_extra_info"].keys()
    assert (other["failure_class"], other["reward_extra_info"]["gym_failed"]) == ("model_timeout", 1.0)


def test_a_row_marked_as_not_to_be_learned_from_is_masked() -> None:
    found = output(two_turns(instance_config={"mask_sample": True}))
    assert (found["response_ids"], found["response_mask"]) == ([3, 4, 5, 6], [0, 0, 0, 0])


def test_of_a_forked_rollout_the_last_segment_is_trained() -> None:
    fork = [turn_of(Said([1, 2], [3, 4], [-0.1, -0.2], 0.25)), turn_of(Said([1, 5], [6], [-0.3], 1.0))]
    found = output(rollout_of(*fork))
    assert (found["prompt_ids"], found["response_ids"], found["reward_score"]) == ([1, 5], [6], 1.25)
    assert found["extra_fields"]["reward_extra_info"]["gym_forks"] == 1.0
    assert output(rollout_of(*fork), prompt_length=2, response_length=1)["response_ids"] == [6]


def test_a_rollout_without_ids_is_refused() -> None:
    rollout = two_turns()
    for item in rollout["response"]["output"]:
        item.pop("generation_token_ids", None)
    with pytest.raises(MissingTokensError, match="token_source: none"):
        output(rollout)
