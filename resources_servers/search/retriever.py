"""The retriever: finds passages of a corpus, `POST /retrieve`. A server of its own, beside the environment's."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any, Self

from fastapi import FastAPI
from pydantic import BaseModel, Field, PrivateAttr, model_validator
from starlette.requests import Request
from starlette.responses import Response

from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.serving.app import SimpleServer
from nemo_gym.serving.error_answers import error_response
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.spec import ServerSpec
from resources_servers.search.batching import BatchCounts, Batcher, QueueFull
from resources_servers.search.passage_search import Found, PassageSearch, Query
from resources_servers.search.retriever_config import RetrieverConfig

INSTALL = Path(__file__).resolve().parents[2]
"""The folder that holds `resources_servers/`."""
RETRY_AFTER_S = 1
SWITCH_INTERVAL_S = 0.0005


class RetrieveRequest(BaseModel):
    """`query` or `queries`. Fields that others send beside these are passed over."""

    query: str | None = None
    queries: list[str] | None = None
    topk: int | None = Field(default=None, ge=1)
    """None: the configuration's."""
    return_scores: bool = False
    """Whether each passage comes as `{"document": ..., "score": ...}`; else the documents themselves stand there."""

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if (self.query is None) == (self.queries is None):
            raise ValueError("give either `query`, one text, or `queries`, a list of texts")
        return self

    @property
    def texts(self) -> list[str]:
        return [self.query] if self.query is not None else self.queries or []


class RetrieverServer(SimpleServer):
    """Answers queries from one corpus."""

    config: RetrieverConfig

    _opening: asyncio.Task[PassageSearch] | None = PrivateAttr(default=None)
    _stopped: threading.Event = PrivateAttr(default_factory=threading.Event)
    _batcher: Batcher[Query, list[Found]] | None = PrivateAttr(default=None)

    @classmethod
    def from_spec(cls, spec: ServerSpec, client: ServerClient | None = None) -> Self:
        """Raises `ConfigError` where a file that the configuration names is not there."""
        server = super().from_spec(spec, client)
        problems: list[ConfigProblem] = []
        block = f"{spec.name}.{spec.server_type}.{spec.implementation}"
        home = Path(spec.working_dir).resolve()

        def found(key: str, name: str) -> str:
            path = next((folder / name for folder in (home, INSTALL) if (folder / name).is_file()), None)
            if path is None:
                source = spec.sources.get(key.partition(".")[0], spec.source)
                problems.append(ConfigProblem(source, f"{block}.{key}", f"there is no file {home / name}"))
            return str(path)

        config = server.config
        changed: dict[str, object] = {"corpus": found("corpus", config.corpus)}
        if config.index == "dense" and config.dense.index_file is not None:
            index_file = found("dense.index_file", config.dense.index_file)
            changed["dense"] = config.dense.model_copy(update={"index_file": index_file})
        if config.cache_folder is not None:
            changed["cache_folder"] = str(home / config.cache_folder)
        if problems:
            raise ConfigError(problems)
        server.config = config.model_copy(update=changed)
        return server

    async def retrieve(self, request: Request, body: RetrieveRequest) -> Any:
        """`POST /retrieve`: for each query a list of passages, best first."""
        config = self.config
        topk = body.topk or config.topk
        if topk > config.max_topk or len(body.texts) > config.max_queries:
            limits = f"at most {config.max_topk} passages (`topk`) and {config.max_queries} queries are given at once"
            return error_response(422, "invalid_request", limits)
        queries = [Query(text[: config.max_query_chars], topk) for text in body.texts]
        try:
            found = await self._found(queries)
        except QueueFull:
            return _try_later(f"{config.max_waiting} queries are waiting already")
        if body.return_scores:
            return {"result": [[{"document": one.document, "score": one.score} for one in each] for each in found]}
        return {"result": [[one.document for one in each] for each in found]}

    async def about(self) -> dict[str, Any]:
        """`GET /about`: what is searched, and how requests have been gathered."""
        search, counts = await self._search(), self._batcher.counts if self._batcher else BatchCounts()
        return {
            "index": self.config.index,
            "num_documents": search.num_documents,
            "queries": counts.questions,
            "batches": counts.batches,
            "largest_batch": counts.largest_batch,
        }

    async def _found(self, queries: list[Query]) -> list[list[Found]]:
        search = await self._search()
        if self._batcher is None:
            self._batcher = Batcher(
                search.search,
                max_batch_size=self.config.max_batch_size,
                wait_s=self.config.batch_wait_s,
                max_waiting=self.config.max_waiting,
            )
        return list(await asyncio.gather(*(self._batcher.ask(query) for query in queries)))

    async def _search(self) -> PassageSearch:
        """The index, opened once: when the server starts or, where nobody starts it, by the first request."""
        if self._opening is None:
            self._opening = asyncio.create_task(asyncio.to_thread(PassageSearch.open, self.config, self._stopped))
        return await asyncio.shield(self._opening)

    async def startup(self) -> None:
        """Ready when the index is."""
        await super().startup()
        try:
            await self._search()
        except asyncio.CancelledError:
            self._stopped.set()
            raise

    async def shutdown(self) -> None:
        self._stopped.set()
        if self._batcher is not None:
            self._batcher.close()
        await super().shutdown()

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/retrieve")(self.retrieve)
        app.get("/about")(self.about)
        return app


def _try_later(reason: str) -> Response:
    answer = error_response(503, "QueueFull", reason)
    answer.headers["retry-after"] = str(RETRY_AFTER_S)
    return answer


if __name__ == "__main__":
    # The event loop needs the interpreter anew for each answer that it sends. By default the thread that searches keeps
    # it for 5 ms each time: with many clients at once that adds up.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    RetrieverServer.run_webserver()
