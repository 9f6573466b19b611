import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.errors import ConfigError, LaunchError
from nemo_gym.testclient import InProcessGym
from resources_servers.search.encoders import HashingEncoder
from resources_servers.search.retriever import RetrieverServer

CORPUS = Path(__file__).parents[1] / "data" / "corpus" / "made_up_land.jsonl"
PASSAGES = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
DENSE = {"corpus": str(CORPUS), "index": "dense"}


@pytest.fixture
async def gym() -> AsyncIterator[InProcessGym]:
    async with InProcessGym() as gym:
        gym.add("bm25", RetrieverServer, corpus=str(CORPUS), max_topk=10)
        yield gym


async def retrieve(gym: InProcessGym, server: str, **body: Any) -> Any:
    answer = await gym.client.post(server, "/retrieve", body)
    assert answer.ok, answer.text
    return answer.parse()["result"]


def title(document: dict[str, Any]) -> str:
    return str(document["contents"]).split("\n")[0].strip('"')


async def test_one_query_or_several_with_scores_or_without(gym: InProcessGym) -> None:
    first, last = PASSAGES[0], PASSAGES[-1]
    [found] = await retrieve(gym, "bm25", query=title(first), topk=2, return_scores=True)
    assert [set(hit) for hit in found] == [{"document", "score"}] * 2
    assert found[0]["document"] == first
    both = await retrieve(gym, "bm25", queries=[title(last), title(first), ""], topk=1)
    assert both == [[last], [first], []]


NO_REQUESTS: tuple[object, ...] = (
    *({}, {"query": "a", "queries": ["a"]}, {"query": 5}, {"queries": "a"}, {"queries": [None]}, [], None),
    *({"query": "a", "topk": 0}, {"query": "a", "topk": 11}, {"queries": ["a"] * 513}),
)


@pytest.mark.parametrize("body", NO_REQUESTS)
async def test_what_is_no_request_is_refused(gym: InProcessGym, body: object) -> None:
    answer = await gym.client.post("bm25", "/retrieve", body, body=None if body is not None else b"null")
    assert answer.status == 422


async def test_queries_that_come_together_are_searched_together() -> None:
    async with InProcessGym() as gym:
        gym.add("retriever", RetrieverServer, **DENSE, batch_wait_s=0.05, max_batch_size=16)
        await retrieve(gym, "retriever", query="warm up")
        answers = await asyncio.gather(*(retrieve(gym, "retriever", query=title(one), topk=1) for one in PASSAGES[:48]))
        assert [found[0]["id"] for [found] in answers] == [one["id"] for one in PASSAGES[:48]]
        about = (await gym.client.get("retriever", "/about")).parse()
    assert about["queries"] == 49 and about["batches"] <= 8 and about["largest_batch"] == 16


async def test_more_than_may_wait_are_told_to_come_later() -> None:
    async with InProcessGym() as gym:
        gym.add("retriever", RetrieverServer, corpus=str(CORPUS), max_waiting=3, batch_wait_s=0.05)
        answers = await asyncio.gather(
            *(gym.client.post("retriever", "/retrieve", {"query": "river"}) for _ in range(10))
        )
        refused = [answer for answer in answers if answer.status == 503]
        assert refused and all(answer.headers["retry-after"] == "1" for answer in refused)
        assert len(refused) + sum(answer.ok for answer in answers) == 10


async def test_hashed_spellings_find_words_with_other_endings() -> None:
    pytest.importorskip("faiss")
    async with InProcessGym() as gym:
        gym.add("dense", RetrieverServer, **DENSE)
        hits = 0
        for passage in PASSAGES[::10]:
            [found] = await retrieve(gym, "dense", query=f"{title(passage)}s", topk=3)
            hits += passage in found
    assert hits >= 0.9 * len(PASSAGES[::10])


async def test_an_index_of_the_users_is_used_with_its_parameters(tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    texts = [passage["contents"] for passage in PASSAGES]
    vectors = HashingEncoder(64).encode_passages(texts)
    flat, ivf = faiss.IndexFlatIP(64), faiss.index_factory(64, "IVF8,Flat", faiss.METRIC_L2)
    flat.add(vectors)
    ivf.train(vectors)
    ivf.add(vectors)
    faiss.write_index(flat, str(tmp_path / "flat.index"))
    faiss.write_index(ivf, str(tmp_path / "ivf.index"))
    common = {"encoder": "hashing", "dimension": 64}
    async with InProcessGym() as gym:
        mapped = {**common, "index_file": str(tmp_path / "flat.index"), "index_in_memory": False}
        gym.add("flat", RetrieverServer, **DENSE, dense=mapped)
        probed = {**common, "index_file": str(tmp_path / "ivf.index"), "index_parameters": {"nprobe": 8}}
        gym.add("ivf", RetrieverServer, **DENSE, dense=probed)
        for passage in PASSAGES[:5]:
            query = {"query": passage["contents"], "topk": 4, "return_scores": True}
            [by_product], [by_distance] = await retrieve(gym, "flat", **query), await retrieve(gym, "ivf", **query)
            # All vectors are of length 1: the order is the same, and higher is better by either measure.
            assert by_product[0]["document"] == by_distance[0]["document"] == passage
            scores = [hit["score"] for hit in by_distance]
            assert scores == sorted(scores, reverse=True)
            assert [2 * hit["score"] - 2 for hit in by_product] == pytest.approx(scores, abs=1e-4)


async def test_an_index_that_does_not_belong_to_the_corpus_or_the_encoder_is_refused(tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    index = faiss.IndexFlatIP(64)
    index.add(HashingEncoder(64).encode_passages(["one", "two"]))
    faiss.write_index(index, str(tmp_path / "two.index"))
    (tmp_path / "broken.index").write_bytes(b"no index")
    (tmp_path / "two.jsonl").write_text('{"contents": "one"}\n{"contents": "two"}\n', encoding="utf-8")

    async def start(index_file: str, dimension: int, corpus: str) -> None:
        async with InProcessGym() as gym:
            dense = {"dimension": dimension, "index_file": str(tmp_path / index_file)}
            await gym.add("dense", RetrieverServer, corpus=corpus, index="dense", dense=dense).startup()

    two = str(tmp_path / "two.jsonl")
    await start("two.index", 64, two)
    with pytest.raises(LaunchError, match="holds 2 vectors, the corpus 400 passages"):
        await start("two.index", 64, str(CORPUS))
    with pytest.raises(LaunchError, match="vectors of 64 numbers, the encoder makes 32"):
        await start("two.index", 32, two)
    with pytest.raises(LaunchError, match=r"broken\.index cannot be used"):
        await start("broken.index", 64, two)


def test_files_and_packages_that_are_not_there_are_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gym = InProcessGym()
    with pytest.raises(ConfigError, match=r"corpus`: there is no file .*none\.jsonl"):
        gym.add("retriever", RetrieverServer, corpus="none.jsonl")
    with pytest.raises(ConfigError, match=r"index_file`: there is no file"):
        gym.add("retriever", RetrieverServer, **DENSE, dense={"index_file": "none.index"})
    with pytest.raises(ConfigError, match="needs `model`"):
        gym.add("retriever", RetrieverServer, **DENSE, dense={"encoder": "sentence_transformers"})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"nemo-gym\[search\]"):
        gym.add("retriever", RetrieverServer, **DENSE)


async def test_an_index_that_was_made_is_kept_for_the_next_start_until_the_corpus_changes(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_bytes(CORPUS.read_bytes())
    for index in ("bm25", "dense"):
        settings = {"corpus": str(corpus), "index": index, "cache_folder": str(tmp_path / index)}
        found = []
        for _ in range(2):
            async with InProcessGym() as gym:
                gym.add("retriever", RetrieverServer, **settings)
                found.append(await retrieve(gym, "retriever", query="town river", topk=5, return_scores=True))
        assert found[0] == found[1]
        assert len(list((tmp_path / index).iterdir())) == 1
    corpus.write_text('{"contents": "Only this town."}\n', encoding="utf-8")
    async with InProcessGym() as gym:
        gym.add("retriever", RetrieverServer, corpus=str(corpus), cache_folder=str(tmp_path / "bm25"))
        assert await retrieve(gym, "retriever", query="town") == [[{"contents": "Only this town."}]]
