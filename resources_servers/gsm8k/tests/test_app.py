import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.testclient import InProcessGym
from resources_servers.gsm8k.app import Gsm8kResourcesServer

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
async def gym() -> AsyncIterator[InProcessGym]:
    async with InProcessGym() as gym:
        gym.add("gsm8k", Gsm8kResourcesServer)
        gym.add("strict", Gsm8kResourcesServer, strict_skyrl=True)
        yield gym


def body_saying(text: str, **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((DATA / "example_verify.json").read_text())
    body["response"]["output"][-1]["content"][0]["text"] = text
    return body | fields


async def verify(gym: InProcessGym, body: dict[str, Any], server: str = "gsm8k") -> dict[str, Any]:
    answer = await gym.client.post(server, "/verify", body)
    assert answer.status == 200, answer.text
    verified: dict[str, Any] = answer.parse()
    return verified


async def test_the_example_answer_is_right_and_the_row_is_echoed(gym: InProcessGym) -> None:
    body = json.loads((DATA / "example_verify.json").read_text())
    verified = await verify(gym, body)
    assert (verified["reward"], verified["extracted_answer"]) == (1.0, "2184")
    assert verified["solution"] == body["solution"]


async def test_the_last_number_counts_by_value_unless_strict(gym: InProcessGym) -> None:
    body = body_saying("#### 7\nNo, wait.\n#### $2,184.00")
    assert (await verify(gym, body))["reward"] == 1.0
    strict = await verify(gym, body, "strict")
    assert (strict["reward"], strict["extracted_answer"]) == (0.0, "7")


async def test_an_answer_in_another_form_earns_nothing(gym: InProcessGym) -> None:
    verified = await verify(gym, body_saying("The answer is 2184."))
    assert (verified["reward"], verified["extracted_answer"]) == (0.0, None)


async def test_the_answer_may_stand_where_skyrl_rows_have_it(gym: InProcessGym) -> None:
    body = body_saying("#### 72", reward_spec={"method": "rule", "ground_truth": "72"}, extra_info={"index": 0})
    del body["expected_answer"]
    assert (await verify(gym, body))["reward"] == 1.0
    assert (await verify(gym, body_saying("#### 72", expected_answer=72)))["reward"] == 1.0


@pytest.mark.parametrize("fields", [{"expected_answer": None}, {"expected_answer": "many"}, {"expected_answer": True}])
async def test_a_row_without_a_number_to_expect_is_refused(gym: InProcessGym, fields: dict[str, Any]) -> None:
    answer = await gym.client.post("gsm8k", "/verify", body_saying("#### 1", **fields))
    assert answer.status == 422
    assert "expected" in answer.text
