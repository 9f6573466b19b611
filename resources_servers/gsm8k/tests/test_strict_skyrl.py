"""With `strict_skyrl` the reward is that of the real skyrl-gym, whatever the answer."""

import random

import pytest

from resources_servers.gsm8k.verifier import grade_answer

PIECES = (
    *("#### ", "####", "### ", " ", "\n", "-", "$", ",", ".", "1,234", "1234", "1234.", "18", "-5", "2.5", "18%"),
    *("The answer is", "١٨", "eighteen", "#### 18", "#### 1,234", "#### -5", "#### ,", "\r\n", "\u2028"),
)
GROUND_TRUTHS = ("18", "1234", "-5", "2.5", "1,234", "18.")


def test_the_reward_is_that_of_skyrl_gym_over_many_answers() -> None:
    skyrl_env = pytest.importorskip("skyrl_gym.envs.gsm8k.env")
    rng = random.Random(0)
    rewards = []
    for _ in range(2_000):
        text, ground_truth = "".join(rng.choices(PIECES, k=rng.randint(0, 8))), rng.choice(GROUND_TRUTHS)
        theirs = skyrl_env.GSM8kEnv(extras={"reward_spec": {"ground_truth": ground_truth}}).step(text)
        grade = grade_answer(text, ground_truth, strict_skyrl=True)
        assert float(grade.correct) == theirs["reward"], text
        assert theirs["done"] and theirs["observations"] == []
        rewards.append(theirs["reward"])
    assert 50 < sum(rewards) < 1_950, "both right and wrong answers were tried"
