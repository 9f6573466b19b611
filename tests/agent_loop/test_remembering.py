"""The loop before model servers that remember: only what is new is sent, and no answer is sampled twice."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nemo_gym.ledger.ledger import Ledger
from nemo_gym.testclient import InProcessGym
from nemo_gym.training.samples import samples_of
from nemo_gym.training.trajectory import trajectory_of
from responses_api_models.scripted_model.app import ScriptedModel

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
ROWS = ROOT / "resources_servers/example_multi_step/data/example.jsonl"
AGENT = {
    "resources_server": {"type": "resources_servers", "name": "environment"},
    "model_server": {"type": "responses_api_models", "name": "policy"},
}


class Watched:
    """A model server whose requests are kept. `spoil` may have an answer replaced by a 502, after the work was done."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.asked: list[Json] = []
        self.spoil: Callable[[int], bool] = lambda number: False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].endswith("/v1/responses"):
            await self.app(scope, receive, send)
            return
        number = len(self.asked)
        message = await receive()
        self.asked.append(orjson.loads(message["body"]))
        told = False

        async def again() -> Message:
            nonlocal told
            if told:
                return await receive()
            told = True
            return message

        answer: list[Message] = []

        async def keep(sent: Message) -> None:
            answer.append(sent)

        await self.app(scope, again, keep)
        if self.spoil(number):
            await send({"type": "http.response.start", "status": 502, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})
            return
        for sent in answer:
            await send(sent)


class Gym:
    def __init__(self, gym: InProcessGym, policy: ScriptedModel, watched: Watched) -> None:
        self.gym, self.policy, self.watched = gym, policy, watched

    async def rollout(self, number: int = 0) -> Json:
        row = json.loads(ROWS.read_text().splitlines()[number])
        answer = await self.gym.client.post("agent", "/run", {**row, "_ng_task_index": number, "_ng_rollout_index": 0})
        answer.raise_for_status()
        result: Json = answer.parse()
        return result


@pytest.fixture(params=["bytes", "adversarial"])
async def gym(request: pytest.FixtureRequest) -> AsyncIterator[Gym]:
    async with InProcessGym() as gym:
        gym.add("environment", ROOT / "resources_servers/example_multi_step")
        tokens = {"enabled": True, "tokenizer": request.param}
        policy = gym.add("policy", ScriptedModel, environment="example_multi_step", tokens=tokens)
        assert isinstance(policy, ScriptedModel)
        watched = gym.apps["policy"] = Watched(gym.apps["policy"])
        gym.add("agent", ROOT / "responses_api_agents/simple_agent", **AGENT)
        yield Gym(gym, policy, watched)


async def test_each_model_call_is_told_only_what_came_since_the_last(gym: Gym) -> None:
    result = await gym.rollout()
    first, *later = gym.watched.asked
    assert later, "the row has tool calls"
    assert "previous_response_id" not in first
    for asked in later:
        assert asked["previous_response_id"].startswith("resp_")
        assert {item["type"] for item in asked["input"]} == {"function_call_output"}
    assert result["reward"] == 1.0


async def test_the_rollout_is_one_sample_of_what_was_sampled(gym: Gym) -> None:
    result = await gym.rollout()
    trajectory = trajectory_of(result)
    assert len(trajectory.calls) == len(gym.watched.asked)
    assert trajectory.num_forks == 0
    [sample] = samples_of(trajectory, "whole")
    assert sample.loss_mask.sum() == sum(len(call.generated_ids) for call in trajectory.calls)


async def test_what_an_item_carries_does_not_grow_with_the_conversation(gym: Gym) -> None:
    result = await gym.rollout()
    items = [item for item in result["response"]["output"] if "generation_token_ids" in item]
    assert "prompt_token_ids" in items[0]
    before = len(items[0]["prompt_token_ids"]) + len(items[0]["generation_token_ids"])
    for item in items[1:]:
        assert "prompt_token_ids" not in item
        assert item["prompt_token_ids_kept"] == before
        before += len(item["prompt_token_ids_added"]) + len(item["generation_token_ids"])


async def test_a_model_server_that_forgot_is_told_everything_and_goes_on_from_the_same_ids(gym: Gym) -> None:
    forgot: list[int] = []

    def forget(number: int) -> bool:
        if number == 0:
            gym.policy._recorder._ledger = Ledger(max_ids=10**6, idle_s=3600)
            forgot.append(number)
        return False

    gym.watched.spoil = forget
    result = await gym.rollout()
    assert forgot
    whole = [asked for asked in gym.watched.asked if "previous_response_id" not in asked]
    assert len(whole) == 2
    assert any("generation_token_ids" in item for item in whole[1]["input"])
    assert trajectory_of(result).num_forks == 0


async def test_an_answer_that_was_lost_on_its_way_is_given_again_not_sampled_again(gym: Gym) -> None:
    gym.watched.spoil = lambda number: number == 1
    result = await gym.rollout()
    assert result["reward"] == 1.0
    assert gym.watched.asked[1] == gym.watched.asked[2]
    [rollout] = gym.policy._recorder._ledger._rollouts.values()
    assert len(rollout.calls) == len(result["turns"]) == len(gym.watched.asked) - 1
    assert trajectory_of(result).num_forks == 0


async def test_several_rollouts_of_one_row_do_not_share_a_conversation(gym: Gym) -> None:
    results = [await gym.rollout() for _ in range(3)]
    assert len({result["response"]["id"] for result in results}) == 3
    assert all(trajectory_of(result).num_forks == 0 for result in results)
