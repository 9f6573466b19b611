import pytest

from nemo_gym.environments import StepResult
from nemo_gym.schemas.responses import Response
from resources_servers.gsm8k_multi_turn.environment import Gsm8kMultiTurnEnvironment


def saying(text: str) -> Response:
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return Response.model_validate({"id": "r", "created_at": 0, "model": "m", "output": [item]})


async def play(environment: Gsm8kMultiTurnEnvironment, *texts: str) -> list[StepResult]:
    results = [await environment.step(saying(text)) for text in texts]
    environment.turn_rewards = [result.reward for result in results]
    return results


async def test_the_right_number_ends_the_episode_with_full_reward() -> None:
    environment = Gsm8kMultiTurnEnvironment("1234", max_turns=5)
    [result] = await play(environment, "So\n#### $1,234.00")
    assert (result.reward, result.terminated, result.truncated, result.observation) == (1.0, True, False, None)
    assert await environment.final_reward() == 1.0
    assert environment.report() == {"success": True, "extracted_answer": "1234"}


async def test_a_wrong_number_earns_its_share_for_the_form_and_no_number_nothing() -> None:
    environment = Gsm8kMultiTurnEnvironment("18", max_turns=4)
    results = await play(environment, "#### 17", "It is 18.")
    assert [result.reward for result in results] == [0.05, 0.0]
    assert [result.done for result in results] == [False, False]
    assert [result.info["bad_format"] for result in results] == [False, True]
    assert "17 is not the answer" in str(results[0].observation)
    assert "There is no line with ####" in str(results[1].observation)


async def test_the_last_turn_asks_for_the_number_only_and_the_limit_truncates() -> None:
    environment = Gsm8kMultiTurnEnvironment("18", max_turns=3)
    first, second, last = await play(environment, "#### 1", "#### 2", "#### 3")
    assert "step by step" in str(first.observation) and "2 turns left" in str(first.observation)
    assert "number only" in str(second.observation)
    assert (last.observation, last.terminated, last.truncated) == (None, False, True)
    assert await environment.final_reward() == pytest.approx(0.2)


async def test_a_wrong_answer_before_the_right_one_earns_nothing_extra() -> None:
    environment = Gsm8kMultiTurnEnvironment("18", max_turns=5)
    results = await play(environment, "#### 17", "#### 18")
    assert [result.reward for result in results] == [0.04, 1.0]
    assert await environment.final_reward() == 1.0


async def test_feedback_never_tells_the_right_number() -> None:
    environment = Gsm8kMultiTurnEnvironment("9173", max_turns=6)
    results = await play(environment, "#### 1", "", "9173", "#### 9173 or 9174", "#### 2")
    assert all(result.observation and "9173" not in str(result.observation) for result in results)
