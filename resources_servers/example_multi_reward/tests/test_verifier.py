import json
from collections.abc import Callable
from typing import Any

import pytest

from nemo_gym.testclient import InProcessGym
from resources_servers.example_multi_reward.app import MultiRewardResourcesServer
from resources_servers.example_multi_reward.prepare import GET_WEATHER
from resources_servers.example_multi_reward.verifier import Call, fits, parse_call, reward_components

SCHEMA = GET_WEATHER["parameters"]
SCHEMAS = {"get_weather": SCHEMA}
OSLO = Call("get_weather", {"city": "Oslo"})


@pytest.mark.parametrize(
    ("calls", "text", "parts"),
    [
        ([OSLO], "", (1, 1, 1)),
        ([OSLO], " \n", (1, 1, 1)),
        ([OSLO], "It is sunny.", (1, 1, 0)),
        ([OSLO, OSLO], "", (1, 1, 0)),
        ([Call("get_weather", {"city": "Lima"})], "", (0, 1, 1)),
        ([Call("get_weather", {"city": "Lima"}), OSLO], "", (0, 1, 0)),
        ([Call("get_weather", {"town": "Oslo"})], "", (0, 0, 1)),
        ([Call("get_weather", None)], "", (0, 0, 1)),
        ([Call("get_time", {"city": "Oslo"})], "", (0, 0, 1)),
        ([], "It is sunny.", (0, 0, 0)),
        ([], "", (0, 0, 0)),
    ],
)
def test_each_part_is_scored_by_itself(calls: list[Call], text: str, parts: tuple[int, int, int]) -> None:
    correctness, schema_valid, form = parts
    expected = {"correctness": correctness, "schema_valid": schema_valid, "format": form}
    assert reward_components(calls, text, OSLO, SCHEMAS) == expected


@pytest.mark.parametrize(
    ("arguments", "valid"),
    [
        ({"city": "Oslo"}, True),
        ({"city": "Oslo", "unit": "celsius"}, True),
        ({"city": "Oslo", "unit": "kelvin"}, False),
        ({"city": 7}, False),
        ({"city": None}, False),
        ({}, False),
        ({"city": "Oslo", "day": 1}, False),
        (None, False),
    ],
)
def test_arguments_fit_the_schema_or_not(arguments: dict[str, object] | None, valid: bool) -> None:
    assert fits(arguments, SCHEMA) is valid


def test_true_is_no_integer_and_one_is_no_boolean() -> None:
    schema = {"properties": {"count": {"type": "integer"}, "sure": {"type": ["boolean", "null"]}}}
    assert fits({"count": 1, "sure": None}, schema)
    assert not fits({"count": True}, schema)
    assert not fits({"sure": 1}, schema)
    assert reward_components([Call("f", {"x": True})], "", Call("f", {"x": 1}), {})["correctness"] == 0.0


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', "[" * 100_000]
)
def test_text_that_is_no_json_object_is_a_call_without_arguments(text: str) -> None:
    assert parse_call("get_weather", text).arguments is None


async def test_recorded_rollouts_get_their_recorded_parts(recorded: Callable[[str], list[dict[str, Any]]]) -> None:
    rows = {json.dumps(_said(row)): row for row in recorded("example_tool_call_multireward/example.jsonl")}
    scores = ("reward", "reward_components", "correctness", "schema_valid", "format", "predicted_calls")
    async with InProcessGym() as gym:
        gym.add("tool_call", MultiRewardResourcesServer)
        for rollout in recorded("example_tool_call_multireward/example_rollouts.jsonl"):
            row = rows[json.dumps(_said(rollout))]
            answer = await gym.client.post("tool_call", "/verify", {**row, "response": rollout["response"]})
            verified = answer.parse()
            assert {key: verified[key] for key in scores} == {key: rollout[key] for key in scores}


def _said(row: dict[str, Any]) -> list[str]:
    return [item["content"] for item in row["responses_create_params"]["input"]]
