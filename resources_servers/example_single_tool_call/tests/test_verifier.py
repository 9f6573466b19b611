import json
from collections.abc import Callable
from typing import Any

import pytest

from nemo_gym.testclient import InProcessGym
from resources_servers.example_single_tool_call.app import SingleToolCallResourcesServer
from resources_servers.example_single_tool_call.verifier import asked_cities, reward


def test_cities_are_taken_from_weather_calls_whose_arguments_can_be_read() -> None:
    broken = ["{", "[]", "null", "7", '{"city": 7}', "{}", '{"city": "\\ud800"}', "[" * 100_000, '{"city": 1e999}']
    calls = [("get_weather", text) for text in broken]
    calls += [("get_weather", '{"city": "Lima"}'), ("get_time", '{"city": "Oslo"}')]
    assert asked_cities(calls) == ["Lima"]


@pytest.mark.parametrize(
    ("cities", "answer", "expected", "value"),
    [
        (["Lima"], "It is cold.", ["Lima"], 1.0),
        ([" LIMA ", "lima"], "It is cold.", ["Lima"], 1.0),
        ([], "It is cold.", ["Lima"], 0.0),
        (["Lima", "Oslo"], "It is cold.", ["Lima"], 0.0),
        (["Oslo", "Lima"], "Both are cold.", ["Lima", "Oslo"], 1.0),
        (["Lima"], " ", ["Lima"], 0.0),
        ([], "Where are you?", None, 1.0),
        ([], "", None, 0.0),
    ],
)
def test_the_reward_needs_an_answer_and_exactly_the_expected_cities(
    cities: list[str], answer: str, expected: list[str] | None, value: float
) -> None:
    assert reward(cities, answer, expected) == value


async def test_recorded_rollouts_get_their_recorded_rewards_and_tool_outputs(
    recorded: Callable[[str], list[dict[str, Any]]],
) -> None:
    async with InProcessGym() as gym:
        gym.add("weather", SingleToolCallResourcesServer)
        for rollout in recorded("example_single_tool_call/example_rollouts.jsonl"):
            answer = await gym.client.post("weather", "/verify", rollout)
            assert answer.parse()["reward"] == rollout["reward"]
            for call, output in _calls_with_outputs(rollout):
                told = await gym.client.post("weather", f"/{call['name']}", json.loads(call["arguments"]))
                assert told.parse() == json.loads(output)


def _calls_with_outputs(rollout: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    items = rollout["response"]["output"]
    outputs = {item["call_id"]: item["output"] for item in items if item["type"] == "function_call_output"}
    return [(item, outputs[item["call_id"]]) for item in items if item["type"] == "function_call"]
