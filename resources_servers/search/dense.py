"""The dense index: FAISS over the vectors of all passages, made from the corpus or read from a file of the user's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_gym.errors import LaunchError
from resources_servers.search.bm25 import Hit
from resources_servers.search.encoders import Encoder

if TYPE_CHECKING:
    import faiss

PASSAGES_AT_ONCE = 256
INSTALL = 'the dense index needs FAISS: `pip install "nemo-gym[search]"`'


class DenseIndex:
    """Passages by the nearness of their vectors to the query's. One vector per passage, in the order of the corpus."""

    def __init__(self, index: faiss.Index, encoder: Encoder) -> None:
        import faiss

        if index.d != encoder.dimension:
            raise LaunchError(
                f"the index holds vectors of {index.d} numbers, the encoder makes {encoder.dimension}: "
                "they are of different models"
            )
        self._index, self._encoder = index, encoder
        self._nearer_is_more = index.metric_type == faiss.METRIC_INNER_PRODUCT

    @classmethod
    def build(cls, texts: Iterable[str], encoder: Encoder) -> DenseIndex:
        """A flat index, searched exactly: every query is compared with every passage."""
        import faiss

        index = faiss.IndexFlatIP(encoder.dimension)
        for some in _portions(texts, PASSAGES_AT_ONCE):
            index.add(encoder.encode_passages(some))
        return cls(index, encoder)

    @classmethod
    def read(
        cls,
        path: Path,
        encoder: Encoder,
        num_documents: int,
        *,
        in_memory: bool = True,
        parameters: Mapping[str, float] | None = None,
    ) -> DenseIndex:
        """Any index that FAISS wrote. `parameters` are FAISS's own, by name, such as `nprobe` or `efSearch`.

        Raises `LaunchError` where it cannot be read or does not belong to a corpus of `num_documents` passages.
        """
        import faiss

        try:
            index = faiss.read_index(str(path), 0 if in_memory else faiss.IO_FLAG_MMAP_IFC)
            for name, value in (parameters or {}).items():
                faiss.ParameterSpace().set_index_parameter(index, name, value)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise LaunchError(f"the index {path} cannot be used: {reason}") from error
        if index.ntotal != num_documents:
            raise LaunchError(
                f"the index {path} holds {index.ntotal:,} vectors, the corpus {num_documents:,} passages: "
                "they do not belong together"
            )
        return cls(index, encoder)

    def save(self, path: Path) -> None:
        """Write the index as a file of FAISS."""
        import faiss

        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")  # workers that start together each write their own
        faiss.write_index(self._index, str(unfinished))
        unfinished.replace(path)

    def search(self, queries: Sequence[str], topk: int) -> list[list[Hit]]:
        """For each query the `topk` nearest passages, nearest first. Releases the interpreter while it computes.

        The score is the inner product or, with an index of distances, minus the distance.
        """
        scores, numbers = self._index.search(self._encoder.encode_queries(queries), topk)
        if not self._nearer_is_more:
            scores = -scores
        found = zip(numbers.tolist(), scores.tolist(), strict=True)
        # FAISS fills up with -1 where it finds fewer.
        return [[(number, score) for number, score in zip(*each, strict=True) if number >= 0] for each in found]


def _portions(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    left = iter(texts)
    while some := list(islice(left, size)):
        yield some
