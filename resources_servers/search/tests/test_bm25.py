import random
from collections import Counter
from collections.abc import Sequence
from math import log
from pathlib import Path

import pytest

from resources_servers.search.bm25 import Bm25Index, Bm25Parameters, Hit, words

VOCABULARY = [f"w{number}" for number in range(60)]
FREQUENCIES = [1 / (number + 1) for number in range(60)]
PARAMETERS = Bm25Parameters(k1=1.1, b=0.6)


def some_texts(rng: random.Random, count: int) -> list[str]:
    """Few words are in nearly every text, many in one or two, as in a language."""
    return [" ".join(rng.choices(VOCABULARY, FREQUENCIES, k=rng.randint(0, 25))) for _ in range(count)]


def by_definition(texts: Sequence[str], query: str, topk: int) -> list[Hit]:
    """BM25 as its formula says, over all passages, in double precision."""
    counted = [Counter(words(text)) for text in texts]
    mean = sum(counts.total() for counts in counted) / len(texts)
    scores = []
    for number, counts in enumerate(counted):
        norm = PARAMETERS.k1 * (1 - PARAMETERS.b + PARAMETERS.b * counts.total() / mean)
        score = 0.0
        for word in words(query):
            df = sum(word in other for other in counted)
            score += log(1 + (len(texts) - df + 0.5) / (df + 0.5)) * counts[word] / (counts[word] + norm)
        if any(word in counts for word in words(query)):
            scores.append((number, score))
    return sorted(scores, key=lambda hit: (-hit[1], hit[0]))[:topk]


@pytest.mark.parametrize("seed", range(6))
def test_the_best_passages_and_their_scores_are_those_of_the_formula(seed: int) -> None:
    rng = random.Random(seed)
    texts = some_texts(rng, 150)
    index = Bm25Index.build(texts, PARAMETERS)
    for _ in range(40):
        query = " ".join(rng.choices([*VOCABULARY, "unknown"], k=rng.randint(1, 8)))
        topk = rng.choice((1, 3, 10))
        found, expected = index.search(query, topk), by_definition(texts, query, topk)
        assert [score for _, score in found] == pytest.approx([score for _, score in expected], rel=1e-5), query
        for (number, _), (other, score) in zip(found, expected, strict=True):
            # Passages whose scores differ less than single precision tells apart may change places.
            assert number == other or dict(by_definition(texts, query, 150))[number] == pytest.approx(score, rel=1e-5)


def test_equal_passages_come_in_the_order_of_the_corpus() -> None:
    index = Bm25Index.build(["red fish", "blue fish", "red fish", "red fish"], PARAMETERS)
    assert [number for number, _ in index.search("red", 2)] == [0, 2]


def test_a_query_without_known_words_finds_nothing() -> None:
    index = Bm25Index.build(["red fish", ""], PARAMETERS)
    assert index.search("", 3) == index.search("?!", 3) == index.search("blue", 3) == []
    assert Bm25Index.build([""], PARAMETERS).search("blue", 3) == []


def test_a_saved_index_finds_the_same_and_is_not_taken_for_other_passages(tmp_path: Path) -> None:
    rng = random.Random(9)
    texts = [*some_texts(rng, 80), "naïve Ÿsé ٣٤"]
    index, file = Bm25Index.build(texts, PARAMETERS), tmp_path / "cache" / "one.index"
    index.save(file, made_from={"size": (1, 2)})
    loaded = Bm25Index.load(file, made_from={"size": (1, 2)})
    assert loaded is not None
    for query in ("w0 w1 w30", "w59", "NAÏVE", "٣٤"):
        assert loaded.search(query, 5) == index.search(query, 5)
    assert Bm25Index.load(file, made_from={"size": (1, 3)}) is None
    assert Bm25Index.load(tmp_path / "none.index", made_from={"size": (1, 2)}) is None
    file.write_bytes(b"something else")
    assert Bm25Index.load(file, made_from={"size": (1, 2)}) is None
    assert [path.name for path in file.parent.iterdir()] == ["one.index"]
