"""With `strict_skyrl` every turn is that of the real skyrl-gym, whose client asks the same retriever over HTTP."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nemo_gym.schemas.responses import Response
from nemo_gym.serving.process import serve
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.testclient import InProcessGym
from resources_servers.search.environment import Rules, StrictSkyrlEnvironment
from resources_servers.search.passages import RetrieverClient
from resources_servers.search.retriever import RetrieverServer

CORPUS = Path(__file__).parents[1] / "data" / "corpus" / "made_up_land.jsonl"
PIECES = (
    *("<search>", "</search>", "<answer>", "</answer>", "<think>", "</think>", "<information>", " ", "\n", "Hm."),
    *("river", "Town", "born in", "the founder", "é 東京 \u0000", "Orm", "The Orm!", "12"),
    *("<search>river length</search>", "<search></search>", "<answer>Orm</answer>", "<answer>the  ORM.</answer>"),
    *("<search>town on the river</search>", "<answer>12</answer>", "</answer><answer>"),
)
TARGETS: tuple[Any, ...] = (["Orm"], ["Po", "the orm"], "12", ["The"], ["river Orm", "x"])


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A retriever that listens: the corpus that ships, BM25."""
    async with InProcessGym() as gym:
        gym.add("retriever", RetrieverServer, corpus=str(CORPUS))
        with socket.create_server(("127.0.0.1", 0)) as listen:
            ready = asyncio.Event()
            serving = asyncio.create_task(
                serve(gym.apps["retriever"], listen, on_ready=ready.set, handles_signals=False)
            )
            await ready.wait()
            yield f"http://127.0.0.1:{listen.getsockname()[1]}/retrieve"
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


def saying(text: str) -> Response:
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return Response.model_validate({"id": "r", "created_at": 0, "model": "m", "output": [item]})


async def test_every_turn_is_that_of_skyrl_gym_over_many_episodes(url: str) -> None:
    skyrl_env = pytest.importorskip("skyrl_gym.envs.search.env")
    config = SimpleNamespace(search_url=url, topk=3, timeout=30, log_requests=False)
    client = ServerClient({})
    rng = random.Random(0)
    counts = {"right": 0, "wrong": 0, "searches": 0, "nothing asked": 0}
    for _ in range(200):
        target, max_turns = rng.choice(TARGETS), rng.randint(1, 5)
        extras = {"reward_spec": {"ground_truth": {"target": target}}, "max_turns": max_turns}
        theirs = skyrl_env.SearchEnv(config, extras)
        retriever = RetrieverClient(client, url, is_url=True, takes="query", topk=3, timeout_s=30, max_attempts=3)
        accepted = [target] if isinstance(target, str) else target
        ours = StrictSkyrlEnvironment(accepted, retriever, Rules(max_turns=max_turns))
        ours.turn_rewards, their_rewards = [], []
        done = False
        while not done:
            text = "".join(rng.choices(PIECES, k=rng.randint(0, 6)))
            expected = await asyncio.to_thread(theirs.step, text)
            result = await ours.step(saying(text))
            ours.turn_rewards.append(result.reward)
            their_rewards.append(expected["reward"])
            said = [{"role": "user", "content": result.observation}] if result.observation else []
            assert said == expected["observations"], text
            assert result.reward == expected["reward"], text
            assert result.done == expected["done"], text
            done = result.done
            if said:
                counts["searches" if "Doc 1" in str(result.observation) else "nothing asked"] += 1
        assert await ours.final_reward() == sum(their_rewards)
        counts["right" if ours.turn_rewards[-1] else "wrong"] += 1
    await client.close()
    assert min(counts.values()) > 15, counts


async def test_the_client_of_skyrl_gym_understands_the_retriever(url: str) -> None:
    tools = pytest.importorskip("skyrl_gym.tools.search")
    answer, problem = await asyncio.to_thread(tools.call_search_api, url, "Brieth Brothers", 2, True, 30, False)
    assert problem is None
    [found] = answer["result"]
    assert len(found) == 2 and found[0]["document"]["contents"].startswith('"Brieth Brothers"\n')
    assert found[0]["score"] >= found[1]["score"] > 0
