"""Arms, payouts, and what a pull earns."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.testclient import InProcessGym
from resources_servers.bandit.environment import Arm

FOLDER = Path(__file__).resolve().parent.parent
ARMS = [
    {"name": "Phoenix", "payouts": [40, 60]},
    {"name": "Dragon", "payouts": [0, 100], "weights": [3, 1]},
]


def test_an_arm_pays_as_often_as_its_weights_say() -> None:
    dragon = Arm.model_validate(ARMS[1])
    rng = random.Random(0)
    paid = [dragon.pull(rng) for _ in range(4000)]
    assert set(paid) == {0.0, 100.0} and dragon.mean == 25.0
    assert sum(paid) / len(paid) == pytest.approx(25.0, abs=3)


async def episode(row: dict[str, Any], *turns: str, **settings: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Steps and verify answer."""
    async with InProcessGym() as gym:
        gym.add("bandit", FOLDER, **settings)
        played = gym.episode("bandit", {"responses_create_params": {"input": "Pull."}, "arms": ARMS, **row})
        await played.reset()
        return [await played.step(text) for text in turns], await played.verify()


async def test_pulls_earn_the_arms_average_as_a_share_of_the_best() -> None:
    turns = [f"<answer>{name}</answer>" for name in ("phoenix", "Dragon")]
    steps, verified = await episode({"num_pulls": 2}, *turns)
    assert [step["reward"] for step in steps] == [0.5, 0.25]
    assert "Phoenix paid" in steps[0]["observation"] and steps[1]["terminated"]
    assert (verified["reward"], verified["best_arm_share"], verified["success"]) == (0.75, 0.5, False)


async def test_many_pulls_of_the_best_arm_come_to_one() -> None:
    steps, verified = await episode({"num_pulls": 200}, *["<answer>Phoenix</answer>"] * 200)
    assert steps[-1]["terminated"] and verified["reward"] == pytest.approx(1.0) and verified["success"] is True


async def test_pulls_can_earn_what_they_paid() -> None:
    [step], verified = await episode({}, "<answer>Phoenix</answer>", reward_kind="payout")
    assert step["reward"] in (40.0, 60.0) and verified["total_payout"] == step["reward"]


async def test_the_nth_pull_of_an_arm_pays_the_same_whatever_else_is_pulled() -> None:
    async def paid(*names: str) -> list[str]:
        steps, _ = await episode({"num_pulls": 5, "seed": 3}, *(f"<answer>{name}</answer>" for name in names))
        return [step["observation"].splitlines()[0] for step in steps]

    alone, mixed = await paid("Dragon", "Dragon"), await paid("Dragon", "Phoenix", "Dragon")
    assert alone == [mixed[0], mixed[2]]


async def test_a_malformed_turn_costs_its_pull_and_a_penalty() -> None:
    steps, verified = await episode({"num_pulls": 2}, "Dragon", "<answer>Phoenix</answer>")
    assert steps[0]["reward"] == -0.1 and "<answer>Phoenix</answer>" in steps[0]["observation"]
    assert steps[1]["truncated"] and not steps[1]["terminated"]
    assert verified["reward"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    "arms",
    [
        ARMS[:1],
        [ARMS[0], {**ARMS[1], "name": "PHOENIX"}],
        [ARMS[0], {**ARMS[1], "weights": [1]}],
        [ARMS[0], {**ARMS[1], "weights": [0, 0]}],
        [{"name": "A", "payouts": [0]}, {"name": "B", "payouts": [0]}],
        [ARMS[0], {"name": "B", "payouts": [-1]}],
        [ARMS[0], {"name": "B", "payouts": [1e308, 1e308]}],
        [ARMS[0], {"name": "B", "payouts": [1], "weights": [1e308]}],
        [ARMS[0], {"name": " ", "payouts": [1]}],
        [ARMS[0], {"name": "A || B", "payouts": [1]}],
        [ARMS[0], {"name": "B", "payouts": []}],
    ],
)
async def test_rows_without_a_best_arm_are_refused(arms: list[dict[str, Any]]) -> None:
    async with InProcessGym() as gym:
        gym.add("bandit", FOLDER)
        answer = await gym.client.post(
            "bandit", "/reset", {"responses_create_params": {"input": "Pull."}, "arms": arms}
        )
        assert answer.status == 422 and "arms" in answer.text
