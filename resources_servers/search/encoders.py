"""Encoders: texts to vectors of length 1, for the dense index. By hashing alone, or by an embedding model."""

from __future__ import annotations

import importlib.util
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nemo_gym.errors import LaunchError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

_WORD = re.compile(r"[^\W_]+")
_SIZES = (3, 4, 5)


class Encoder(Protocol):
    """What makes vectors. Called from one thread at a time."""

    dimension: int
    """Numbers per vector."""

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """One row per text."""
        ...

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """One row per text."""
        ...


class HashingEncoder:
    """Words and their runs of 3 to 5 characters, each added or subtracted at a place that its checksum gives.

    Nothing is learned and nothing downloaded: texts are near each other that share spellings, so that `rivers` finds
    `river`, but `physician` does not find `doctor`.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self._encode(texts)

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        return self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            sums = np.array([zlib.crc32(piece.encode()) for piece in _pieces(text)], dtype=np.uint32)
            signs = np.where(sums >> 31, np.float32(1), np.float32(-1))
            np.add.at(row, (sums & 0x7FFFFFFF) % self.dimension, signs)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(lengths == 0, 1, lengths)


class SentenceTransformersEncoder:
    """A model that the package sentence-transformers can load."""

    def __init__(self, model: str, *, query_prefix: str, passage_prefix: str, device: str | None) -> None:
        """`model`: a folder, an installed package that carries one in its folder `model`, or a name on Hugging Face.

        Raises `LaunchError` where the package is missing or the model cannot be loaded.
        """
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError:
            raise LaunchError(
                "`encoder: sentence_transformers` needs its package: `pip install sentence-transformers`"
            ) from None
        try:
            self._model = SentenceTransformer(_place_of(model), device=device)
        except (OSError, ValueError) as error:
            raise LaunchError(f"the embedding model `{model}` cannot be loaded: {error}") from error
        self._query_prefix, self._passage_prefix = query_prefix, passage_prefix
        self.dimension = int(self.encode_queries(["dimension"]).shape[1])

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self._encode([self._query_prefix + text for text in texts])

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        return self._encode([self._passage_prefix + text for text in texts])

    def _encode(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = self._model.encode(
            list(texts), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return vectors.astype("float32", copy=False)


def _pieces(text: str) -> list[str]:
    """Whole words, and runs of characters of each word with its ends marked."""
    pieces = []
    for word in _WORD.findall(text.lower()):
        marked = f"<{word}>"
        pieces.append(marked)
        pieces += [marked[start : start + size] for size in _SIZES for start in range(len(marked) - size + 1)]
    return pieces


def _place_of(model: str) -> str:
    if not Path(model).exists() and model.isidentifier():
        package = importlib.util.find_spec(model)
        if package is not None and package.origin is not None:
            return str(Path(package.origin).parent / "model")
    return model
