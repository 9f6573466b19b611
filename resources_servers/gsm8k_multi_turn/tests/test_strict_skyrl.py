"""With `strict_skyrl` every turn is that of the real skyrl-gym: reward, feedback, end, over hundreds of episodes."""

import random

import pytest

from nemo_gym.schemas.responses import Response
from resources_servers.gsm8k_multi_turn.environment import StrictSkyrlEnvironment

PIECES = (
    *("#### ", "####", " ", "\n", "-", "$", ",", ".", "1,234", "1234", "18", "-5", "2.5", "18%", "Hm.", "١٨"),
    *("#### 18", "#### 1,234", "#### -5", "#### ,", "#### 7"),
)
GROUND_TRUTHS = ("18", "1234", "-5", "2.5", "1,234")


def saying(text: str) -> Response:
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return Response.model_validate({"id": "r", "created_at": 0, "model": "m", "output": [item]})


async def test_every_turn_is_that_of_skyrl_gym_over_many_episodes() -> None:
    skyrl_env = pytest.importorskip("skyrl_gym.envs.gsm8k.multi_turn_env")
    rng = random.Random(0)
    ends = {"solved": 0, "not solved": 0}
    for episode in range(500):
        ground_truth, max_turns = rng.choice(GROUND_TRUTHS), rng.randint(1, 7)
        extras = {"reward_spec": {"ground_truth": ground_truth}, "extra_info": {}}
        (extras if episode % 2 else extras["extra_info"])["max_turns"] = max_turns
        theirs = skyrl_env.GSM8kMultiTurnEnv(extras=extras)
        ours = StrictSkyrlEnvironment(ground_truth, max_turns)
        ours.turn_rewards, their_rewards = [], []
        done = False
        while not done:
            text = "".join(rng.choices(PIECES, k=rng.randint(0, 6)))
            expected, result = theirs.step(text), await ours.step(saying(text))
            ours.turn_rewards.append(result.reward)
            their_rewards.append(expected["reward"])
            assert result.reward == expected["reward"], text
            assert (result.terminated or result.truncated) == expected["done"], text
            said = [{"role": "user", "content": result.observation}] if result.observation else []
            assert said == expected["observations"]
            done = expected["done"]
        assert await ours.final_reward() == sum(their_rewards)
        ends["solved" if ours.solved else "not solved"] += 1
    assert min(ends.values()) > 50, ends
