"""Search over one corpus: opens the corpus and its index as the configuration says, and finds passages."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nemo_gym.errors import LaunchError
from resources_servers.search.bm25 import Bm25Index, Bm25Parameters, Hit
from resources_servers.search.corpus import Corpus, Document
from resources_servers.search.dense import DenseIndex
from resources_servers.search.encoders import Encoder, HashingEncoder, SentenceTransformersEncoder
from resources_servers.search.retriever_config import DenseSettings, RetrieverConfig

log = logging.getLogger(__name__)

SearchMany = Callable[[list[str], int], list[list[Hit]]]


@dataclass(frozen=True)
class Query:
    """One question to the index."""

    text: str
    topk: int


@dataclass(frozen=True)
class Found:
    """One passage that was found."""

    document: Document
    score: float
    """Higher is better; what it means depends on the index."""


class PassageSearch:
    """Made in a thread when the server starts, then called by one thread at a time."""

    def __init__(self, corpus: Corpus, search_many: SearchMany) -> None:
        self._corpus, self._search_many = corpus, search_many

    @property
    def num_documents(self) -> int:
        return len(self._corpus)

    @classmethod
    def open(cls, config: RetrieverConfig, stopped: threading.Event) -> PassageSearch:
        """Paths in `config` are absolute. Takes as long as the index does; `stopped` breaks the making of one off.

        Raises `DataError` for a corpus and `LaunchError` for an index that cannot be used.
        """
        started = time.monotonic()
        corpus = Corpus(Path(config.corpus))
        search_many = _bm25(config, corpus, stopped) if config.index == "bm25" else _dense(config, corpus, stopped)
        log.info("%s over %s passages ready in %.1f s", config.index, len(corpus), time.monotonic() - started)
        return cls(corpus, search_many)

    def search(self, queries: list[Query]) -> list[list[Found]]:
        """For each query its passages, best first. A query without anything in it finds nothing."""
        found: dict[Query, list[Found]] = {query: [] for query in queries if not query.text.strip()}
        for topk in sorted({query.topk for query in queries}):
            # Not with the largest of all and cut: with approximate indexes that finds other passages.
            asked = list(dict.fromkeys(query for query in queries if query.topk == topk and query not in found))
            if asked:
                hits = self._search_many([query.text for query in asked], topk)
                found.update((query, self._documents(of_query)) for query, of_query in zip(asked, hits, strict=True))
        return [found[query] for query in queries]

    def _documents(self, hits: list[Hit]) -> list[Found]:
        return [Found(self._corpus.document(number), score) for number, score in hits]


def _bm25(config: RetrieverConfig, corpus: Corpus, stopped: threading.Event) -> SearchMany:
    made_from = {"corpus": corpus.version, "bm25": config.bm25.model_dump()}
    cache = _cache_file(config, corpus, made_from)
    index = Bm25Index.load(cache, made_from) if cache is not None else None
    if index is None:
        parameters = Bm25Parameters(**config.bm25.model_dump())
        index = Bm25Index.build(_until(stopped, corpus.texts()), parameters)
        if cache is not None:
            index.save(cache, made_from)
    ready = index
    return lambda texts, topk: [ready.search(text, topk) for text in texts]


def _dense(config: RetrieverConfig, corpus: Corpus, stopped: threading.Event) -> SearchMany:
    settings = config.dense
    encoder = _encoder(settings)
    how = {"in_memory": settings.index_in_memory, "parameters": settings.index_parameters}
    if settings.index_file is not None:
        return DenseIndex.read(Path(settings.index_file), encoder, len(corpus), **how).search  # type: ignore[arg-type]
    used = settings.model_dump(exclude={"device", "index_in_memory", "index_parameters", "index_file"})
    cache = _cache_file(config, corpus, {"corpus": corpus.version, "dense": used})
    if cache is not None and cache.is_file():
        return DenseIndex.read(cache, encoder, len(corpus), **how).search  # type: ignore[arg-type]
    index = DenseIndex.build(_until(stopped, corpus.texts()), encoder)
    if cache is not None:
        index.save(cache)
    return index.search


def _encoder(settings: DenseSettings) -> Encoder:
    if settings.encoder == "hashing":
        return HashingEncoder(settings.dimension)
    assert settings.model is not None  # the configuration says so
    return SentenceTransformersEncoder(
        settings.model,
        query_prefix=settings.query_prefix,
        passage_prefix=settings.passage_prefix,
        device=settings.device,
    )


def _cache_file(config: RetrieverConfig, corpus: Corpus, made_from: object) -> Path | None:
    """Named by all that the index depends on: with other settings or another corpus it is another file."""
    if config.cache_folder is None:
        return None
    digest = hashlib.blake2b(json.dumps(made_from, sort_keys=True).encode(), digest_size=8).hexdigest()
    return Path(config.cache_folder) / f"{corpus.path.stem}-{config.index}-{digest}.index"


def _until(stopped: threading.Event, texts: Iterator[str]) -> Iterator[str]:
    for text in texts:
        if stopped.is_set():
            raise LaunchError("stopped while the index was being made")
        yield text
