"""The retriever's configuration: which passages, which index, and how requests are gathered."""

from __future__ import annotations

import importlib.util
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from nemo_gym.config_types import BaseServerConfig
from resources_servers.search.dense import INSTALL


class Bm25Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    k1: float = Field(default=0.9, ge=0)
    """How much more a word counts that stands in a passage several times."""
    b: float = Field(default=0.4, ge=0, le=1)
    """How much less words count in long passages: 0 not at all, 1 in proportion."""


class DenseSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: Literal["hashing", "sentence_transformers"] = "hashing"
    """What makes vectors. `hashing` compares spellings and needs no model; the other one loads `model`."""
    dimension: int = Field(default=512, ge=1)
    """Numbers per vector of `hashing`; a model has its own."""
    model: str | None = None
    """A folder, an installed package that carries a model in its folder `model`, or a name on Hugging Face."""
    query_prefix: str = ""
    """Put before each query; models of the E5 family want `"query: "`."""
    passage_prefix: str = ""
    """Put before each passage when an index is made; E5 wants `"passage: "`."""
    device: str | None = None
    """`cpu`, `cuda`, ...; None: a GPU where there is one."""
    index_file: str | None = None
    """A FAISS index of any kind, one vector per passage in the order of the corpus. None: a flat one is made."""
    index_in_memory: bool = True
    """False: the file is mapped, and read as it is needed."""
    index_parameters: dict[str, float] = Field(default_factory=dict)
    """FAISS's own, such as `nprobe` or `efSearch`."""


class RetrieverConfig(BaseServerConfig):
    corpus: str
    """JSON Lines, `{"id", "contents": "\\"Title\\"\\ntext"}` a line.

    Looked for in the working directory, then in the install.
    """
    index: Literal["bm25", "dense"] = "bm25"
    bm25: Bm25Settings = Bm25Settings()
    dense: DenseSettings = DenseSettings()
    cache_folder: str | None = None
    """Where an index that was made is kept for the next start, as long as the corpus stays the same. None: nowhere."""
    topk: int = Field(default=3, ge=1)
    """Passages per query where the request does not say."""
    max_topk: int = Field(default=100, ge=1)
    max_queries: int = Field(default=512, ge=1)
    """In one request."""
    max_query_chars: int = Field(default=2000, ge=1)
    """What is longer is cut."""
    max_batch_size: int = Field(default=64, ge=1)
    """Queries that are searched together."""
    batch_wait_s: float = Field(default=0.002, ge=0)
    """So long a query waits for others to be searched with it."""
    max_waiting: int = Field(default=4096, ge=1)
    """Queries that may wait; more are refused with HTTP 503."""

    @field_validator("index")
    @classmethod
    def _faiss_is_installed(cls, index: str) -> str:
        if index == "dense" and importlib.util.find_spec("faiss") is None:
            raise ValueError(INSTALL)
        return index

    @field_validator("dense")
    @classmethod
    def _model_is_named(cls, dense: DenseSettings) -> DenseSettings:
        if dense.encoder == "sentence_transformers":
            if dense.model is None:
                raise ValueError("`encoder: sentence_transformers` needs `model`")
            if importlib.util.find_spec("sentence_transformers") is None:
                raise ValueError("this `encoder` needs its package: `pip install sentence-transformers`")
        return dense
