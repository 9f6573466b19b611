"""Episodes of servers written for NeMo Gym: every environment with agents of both worlds, in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nemo_gym.testclient import InProcessGym
from tests.compat.conftest import PROJECT
from tests.compat.rows import ROWS

SIMPLE_AGENT = Path(__file__).parents[2] / "responses_api_agents" / "simple_agent"
AGENTS = {
    "courier_agent": PROJECT / "responses_api_agents" / "courier_agent",
    "careful_agent": PROJECT / "responses_api_agents" / "careful_agent",
    "simple_agent": SIMPLE_AGENT,
    "stepper_agent": PROJECT / "responses_api_agents" / "stepper_agent",
}
ENVIRONMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "weather_lookup": ("weather_lookup", {}),
    "sticky_counter": ("sticky_counter", {}),
    "sticky_counter_by_tens": ("sticky_counter", {"step": 10}),
    "answer_judge": (
        "answer_judge",
        {
            "judge_model_server": {"type": "responses_api_models", "name": "policy_model"},
            "judge_responses_create_params": {"input": [], "temperature": 0.0},
            "check_twice_swap": True,
        },
    ),
    "graded_essay": (
        "graded_essay",
        {
            "judge_model_server": {"type": "responses_api_models", "name": "policy_model"},
            "judge_prompt_config": str(PROJECT / "resources_servers/graded_essay/prompts/marks.yaml"),
        },
    ),
    "office_tools": ("office_tools", {}),
    "quiz_metrics": ("quiz_metrics", {}),
    "word_sorter": ("bundle/word_sorter", {}),
    "two_part_reward": ("two_part_reward", {}),
    "turtle_env": ("turtle_env", {}),
}
PAIRS = [
    (environment, agent)
    for environment in ENVIRONMENTS
    for agent in AGENTS
    if (environment == "turtle_env") == (agent == "stepper_agent")
]


def gym_with(environment: str, agent: str) -> InProcessGym:
    implementation, settings = ENVIRONMENTS[environment]
    gym = InProcessGym()
    gym.add("policy_model", PROJECT / "responses_api_models" / "canned_model")
    gym.add(environment, PROJECT / "resources_servers" / implementation, **settings)
    gym.add(
        "agent",
        AGENTS[agent],
        resources_server={"type": "resources_servers", "name": environment},
        model_server={"type": "responses_api_models", "name": "policy_model"},
    )
    return gym


@pytest.mark.parametrize(("environment", "agent"), PAIRS, ids=lambda name: name)
async def test_an_episode_gets_its_reward(environment: str, agent: str) -> None:
    async with gym_with(environment, agent) as gym:
        for row, reward in ROWS[environment]:
            answer = await gym.client.post("agent", "/run", row)
            assert answer.ok, answer.text
            result = answer.parse()
            assert result.get("reward") == pytest.approx(reward), result
            [prompt] = result["responses_create_params"]["input"]
            assert prompt["content"] == row["responses_create_params"]["input"][0]["content"]


async def test_an_agent_may_verify_twice_in_one_session() -> None:
    async with gym_with("sticky_counter", "courier_agent") as gym:
        [(row, _)] = ROWS["sticky_counter"]
        cookies = (await gym.client.post("sticky_counter", "/seed_session", row)).cookies
        request = {**row, "response": {"id": "r", "created_at": 0, "model": "m", "output": []}, "expected_count": 4}
        for _ in range(2):
            answer = await gym.client.post("sticky_counter", "/verify", request, cookies=cookies)
            cookies = answer.cookies
            assert answer.parse()["reward"] == 1.0


async def test_a_judge_that_gives_no_verdict_fails_the_rollout_and_gives_no_reward() -> None:
    async with gym_with("graded_essay", "simple_agent") as gym:
        row, _ = ROWS["graded_essay"][0]
        params = {**row["responses_create_params"], "input": "SAY "}
        result = (await gym.client.post("agent", "/run", {**row, "responses_create_params": params})).parse()
        assert "reward" not in result and result["_ng_failure_class"] == "judge_failed"


async def test_metrics_of_the_environment_reach_the_agent() -> None:
    async with gym_with("quiz_metrics", "courier_agent") as gym:
        rollouts = [{"_ng_task_index": 0, "_ng_rollout_index": i, "reward": 1.0, "subject": "art"} for i in range(2)]
        answer = await gym.client.post("agent", "/aggregate_metrics", {"verify_responses": rollouts})
        assert answer.parse()["key_metrics"]["pass@2/accuracy"] == 100.0
