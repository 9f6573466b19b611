import json
from collections.abc import Callable
from typing import Any

import pytest

from nemo_gym.testclient import InProcessGym
from resources_servers.example_multi_step.app import MultiStepResourcesServer
from resources_servers.example_multi_step.verifier import parse_values, score, synonym_value


def test_a_synonyms_value_is_the_sum_of_its_character_codes() -> None:
    assert [synonym_value(word) for word in ("Blazing", "Warm", "Hot", "")] == [711, 407, 299, 0]


def test_the_last_extraction_counts() -> None:
    calls = [
        ("extract_synonym_values", '{"synonym_values": [1]}'),
        ("extract_synonym_values", '{"synonym_values": [2, 3]}'),
        ("get_synonym_value", '{"synonym": "Warm"}'),
    ]
    assert parse_values(calls) == [2, 3]
    assert parse_values([]) == []


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "{",
        "[1]",
        "null",
        "{}",
        '{"synonym_values": null}',
        '{"synonym_values": "12"}',
        '{"synonym_values": [1, "2"]}',
        '{"synonym_values": [true]}',
        '{"synonym_values": [1.0]}',
        "[" * 100_000,
        '{"synonym_values": [' + "9" * 9_999 + "]}",
    ],
)
def test_arguments_that_are_no_list_of_integers_count_as_nothing_extracted(arguments: str) -> None:
    assert parse_values([("extract_synonym_values", arguments)]) == []


@pytest.mark.parametrize(
    ("values", "reward", "overlap", "minefield", "order"),
    [
        ([711, 407], 1.0, 1.0, False, False),
        ([407, 711], 0.0, 1.0, False, True),
        ([711], 0.0, 0.5, False, False),
        ([711, 711], 0.0, 0.5, False, False),
        ([711, 407, 299], 0.0, 1.0, True, False),
        ([299], 0.0, 0.0, True, False),
        ([], 0.0, 0.0, False, False),
    ],
)
def test_each_way_of_going_wrong_is_told_apart(
    values: list[int], reward: float, overlap: float, minefield: bool, order: bool
) -> None:
    result = score(values, [711, 407], 299)
    assert (result.reward, result.set_overlap) == (reward, overlap)
    assert result.original_term_minefield_hit is minefield
    assert result.order_instruction_following_failure is order


async def test_recorded_rollouts_get_their_recorded_scores_and_tool_outputs(
    recorded: Callable[[str], list[dict[str, Any]]],
) -> None:
    rows = {json.dumps(_said(row)): row for row in recorded("example_multi_step/example.jsonl")}
    scores = ("parsed_synonym_values", "accuracy", "set_overlap", "original_term_minefield_hit", "reward")
    scores += ("order_instruction_following_failure",)
    async with InProcessGym() as gym:
        gym.add("synonyms", MultiStepResourcesServer)
        for rollout in recorded("example_multi_step/example_rollouts.jsonl"):
            row = rows[json.dumps(_said(rollout))]
            answer = await gym.client.post("synonyms", "/verify", {**row, "response": rollout["response"]})
            verified = answer.parse()
            assert {key: verified[key] for key in scores} == {key: rollout[key] for key in scores}
            for call, output in _calls_with_outputs(rollout):
                told = await gym.client.post("synonyms", f"/{call['name']}", json.loads(call["arguments"]))
                assert told.parse() == json.loads(output)


def _said(row: dict[str, Any]) -> list[str]:
    return [item["content"] for item in row["responses_create_params"]["input"]]


def _calls_with_outputs(rollout: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    items = rollout["response"]["output"]
    outputs = {item["call_id"]: item["output"] for item in items if item["type"] == "function_call_output"}
    return [(item, outputs[item["call_id"]]) for item in items if item["type"] == "function_call"]
