import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from nemo_gym.agent_loop.budget import Budget
from nemo_gym.agent_loop.environment import RemoteEnvironment
from nemo_gym.agent_loop.loop import Episode, run_rollout
from nemo_gym.env_checker.episodes import ReferenceModel
from nemo_gym.errors import ConfigError
from nemo_gym.reference_policies import PolicyPlayer
from nemo_gym.serving.app import SimpleServer
from nemo_gym.serving.http import NO_RETRY
from nemo_gym.testclient import InProcessGym
from resources_servers.search.app import NO_SEARCHES_LEFT, SearchServer
from resources_servers.search.policies import POLICIES
from resources_servers.search.retriever import RetrieverServer

DATA = Path(__file__).parents[1] / "data"
CORPUS = DATA / "corpus" / "made_up_land.jsonl"
ROWS = [json.loads(line) for line in (DATA / "example.jsonl").read_text(encoding="utf-8").splitlines()]
TURNS, TOOLS = ROWS[0], ROWS[1]
BY_NAME = {"retriever": {"type": "resources_servers", "name": "retriever"}}


class BrokenRetriever(SimpleServer):
    """Answers every request as `kind` says, or not at all."""

    kind: str = "slow"

    async def retrieve(self) -> Any:
        if self.kind == "slow":
            await asyncio.Event().wait()
        if self.kind == "crashes":
            raise RuntimeError("no such vector")
        return {"result": [["no document"]]}

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/retrieve")(self.retrieve)
        return app


class CrashingRetriever(BrokenRetriever):
    kind: str = "crashes"


class OtherServer(BrokenRetriever):
    kind: str = "is another server"


@pytest.fixture
async def gym() -> AsyncIterator[InProcessGym]:
    async with InProcessGym() as gym:
        gym.add("retriever", RetrieverServer, corpus=str(CORPUS))
        gym.add("search", SearchServer, **BY_NAME)
        yield gym


async def play(gym: InProcessGym, row: dict[str, Any], policy: str = "oracle") -> dict[str, Any]:
    """A rollout as the agent runs it."""
    environment = RemoteEnvironment(
        gym.client, "search", rollout_id="r", tool_timeout_s=20, verify_timeout_s=20, retry=NO_RETRY
    )
    model = ReferenceModel(PolicyPlayer(POLICIES, policy, [row]), "r")
    return await run_rollout(Episode(row, environment, model, Budget(max_steps=10)))


async def test_the_row_says_whether_searches_are_turns_or_tool_calls(gym: InProcessGym) -> None:
    in_turns, by_tool = await play(gym, TURNS), await play(gym, TOOLS)
    assert in_turns["reward"] == by_tool["reward"] == 1.0
    assert in_turns["num_searches"] == by_tool["num_searches"] == 2
    outputs = [item for item in by_tool["response"]["output"] if item["type"] == "function_call_output"]
    assert len(outputs) == 2 and all(item["output"].startswith("Doc 1 (") for item in outputs)
    said = [item for item in in_turns["response"]["output"] if item.get("role") == "user"]
    assert len(said) == 2 and all(item["content"].startswith("<information>\nDoc 1 (") for item in said)


@pytest.mark.parametrize("row", [TURNS, TOOLS], ids=["turns", "tools"])
@pytest.mark.parametrize("retriever", [BrokenRetriever, CrashingRetriever, OtherServer, None])
async def test_a_retriever_that_fails_is_a_failure_of_the_rollout_and_never_a_reward(
    row: dict[str, Any], retriever: type[SimpleServer] | None
) -> None:
    async with InProcessGym() as gym:
        if retriever is not None:
            gym.add("retriever", retriever)
        where = BY_NAME if retriever is not None else {"retriever_url": "http://nobody/retrieve"}
        gym.add("search", SearchServer, **where, retriever_timeout_s=0.3, retriever_max_attempts=2)
        result = await play(gym, row)
    assert "reward" not in result
    assert result["_ng_failure_class"] == "resources_error"
    assert result["_ng_failure"]["stage"] == "step"
    assert ("nobody" if retriever is None else "retriever") in result["_ng_failure"]["message"]


async def test_searches_by_tool_come_to_an_end(gym: InProcessGym) -> None:
    session = {"x-session-id": "s"}
    await gym.client.post("search", "/reset", {**TOOLS, "max_turns": 3}, headers=session)
    answers = [(await gym.client.post("search", "/search", {"query": "river"}, headers=session)).text for _ in range(3)]
    assert [answer == NO_SEARCHES_LEFT for answer in answers] == [False, False, True]


async def test_the_turns_are_the_rows_else_those_in_extra_info_else_the_configurations(gym: InProcessGym) -> None:
    gym.add("two", SearchServer, **BY_NAME, max_turns=2)

    async def num_turns(server: str, **fields: Any) -> int:
        episode = gym.episode(server, TURNS | fields)
        await episode.reset()
        for turn in range(1, 20):
            if (await episode.step("Hm."))["truncated"]:
                return turn
        raise AssertionError("the episode did not end")

    assert await num_turns("search") == 4
    assert await num_turns("two") == 2
    assert await num_turns("two", extra_info={"max_turns": 3}) == 3
    assert await num_turns("two", extra_info={"max_turns": 3}, max_turns=1) == 1


@pytest.mark.parametrize(
    "answers",
    [
        {"expected_answer": "Orm"},
        {"golden_answers": ["Po", "Orm"]},
        {"reward_spec": {"ground_truth": {"target": ["Orm"]}, "method": "rule"}},
        {"reward_model": {"ground_truth": {"target": "Orm"}, "style": "rule"}},
    ],
)
async def test_answers_are_found_where_the_public_sets_hold_them(gym: InProcessGym, answers: dict[str, Any]) -> None:
    row = {"responses_create_params": {"input": "On which river?"}} | answers
    for server, settings in {"plain": {}, "strict": {"strict_skyrl": True}}.items():
        gym.add(server, SearchServer, **BY_NAME, **settings)
        verified = await gym.episode(server, row).verify("<answer>the Orm</answer>")
        assert verified["reward"] == 1.0


NO_ROWS: tuple[dict[str, Any], ...] = (
    *({"expected_answer": None}, {"expected_answer": []}, {"expected_answer": " "}, {"expected_answer": 5}),
    *({"max_turns": 0}, {"extra_info": {"max_turns": "few"}}),
)


@pytest.mark.parametrize("fields", NO_ROWS)
async def test_a_row_that_cannot_be_played_is_refused(gym: InProcessGym, fields: dict[str, Any]) -> None:
    assert (await gym.client.post("search", "/reset", TURNS | fields)).status == 422


def test_one_retriever_is_needed() -> None:
    for settings in ({}, {**BY_NAME, "retriever_url": "http://127.0.0.1:1/retrieve"}):
        with pytest.raises(ConfigError, match="give either `retriever`"):
            InProcessGym().add("search", SearchServer, **settings)


async def test_a_retriever_elsewhere_is_asked_in_the_words_it_understands(gym: InProcessGym) -> None:
    for takes in ("query", "queries"):
        gym.add(takes, SearchServer, retriever_url="http://retriever/retrieve", retriever_takes=takes)
        episode = gym.episode(takes, TURNS)
        await episode.reset()
        assert "Doc 1 (" in (await episode.step("<search>river</search>"))["observation"]


async def test_the_example_searches_and_has_not_answered_yet(gym: InProcessGym) -> None:
    body = json.loads((DATA / "example_verify.json").read_text(encoding="utf-8"))
    verified = (await gym.client.post("search", "/verify", body)).parse()
    assert (verified["reward"], verified["num_searches"], verified["extracted_answer"]) == (0.0, 1, None)
