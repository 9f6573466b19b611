"""BM25 over an inverted index, exact and in the standard library alone."""

from __future__ import annotations

import mmap
import os
import re
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nlargest, nsmallest
from itertools import accumulate
from math import log
from pathlib import Path

import orjson

Hit = tuple[int, float]
"""(number of the passage, its score; higher is better)."""

_WORD = re.compile(r"[^\W_]+")
_FORMAT = 1
_SLACK = 1 + 1e-9
"""Upper bounds are sums of rounded numbers too."""


def words(text: str) -> list[str]:
    """Lower-case runs of letters and digits. No stemming and no stop words."""
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class Bm25Parameters:
    """How repeated words and the length of a passage count; as is usual for short passages."""

    k1: float = 0.9
    b: float = 0.4


class Bm25Index:
    """For each word the passages that hold it, with the share of the score that it gives them.

    A passage's score is the sum over the words of the query of `idf * tf / (tf + k1 * (1 - b + b * length / mean))`,
    with `idf = ln(1 + (N - df + 0.5) / (df + 0.5))`; shares are kept in single precision. Eight bytes per word and
    passage: about 50 MB for 100,000 passages of 100 words.
    """

    def __init__(
        self,
        num_documents: int,
        terms: dict[str, int],
        starts: Sequence[int],
        documents: Sequence[int],
        weights: Sequence[float],
        most: Sequence[float],
    ) -> None:
        self.num_documents = num_documents
        self._terms = terms
        self._starts = starts
        """Where each term's postings begin; one more than there are terms."""
        self._documents, self._weights = documents, weights
        """Postings of all terms in a row, each term's in the order of the passages."""
        self._most = most
        """The highest weight of each term."""

    @classmethod
    def build(cls, texts: Iterable[str], parameters: Bm25Parameters) -> Bm25Index:
        """About 10,000 passages of 100 words a second."""
        postings: dict[str, array[int]] = {}
        lengths = array("I")
        for number, text in enumerate(texts):
            found = words(text)
            lengths.append(len(found))
            for term, count in Counter(found).items():
                of_term = postings.get(term)
                if of_term is None:
                    of_term = postings[term] = array("I")
                of_term.append(number)
                of_term.append(count)
        mean = sum(lengths) / max(len(lengths), 1) or 1.0
        k1, b = parameters.k1, parameters.b
        norms = array("d", (k1 * (1 - b + b * length / mean) for length in lengths))
        starts, documents, weights, most = array("Q", [0]), array("I"), array("f"), array("f")
        for pairs in postings.values():
            numbers, counts = pairs[::2], pairs[1::2]
            idf = log(1 + (len(lengths) - len(numbers) + 0.5) / (len(numbers) + 0.5))
            of_term = array("f", [idf * tf / (tf + norms[number]) for number, tf in zip(numbers, counts, strict=True)])
            documents.extend(numbers)
            weights.extend(of_term)
            most.append(max(of_term))
            starts.append(len(documents))
            del pairs[:]  # what is copied need not be held twice
        terms = {term: number for number, term in enumerate(postings)}
        return cls(len(lengths), terms, starts, documents, weights, most)

    def search(self, query: str, topk: int) -> list[Hit]:
        """The `topk` best passages, best first, equal ones in the order of the corpus; fewer where fewer hold a word.

        Words are taken in the order of what they can add at most. As soon as the rest cannot lift another passage into
        the best `topk`, only those found so far are looked at: the result is the same, the common words are not gone
        through.
        """
        counts = Counter(self._terms[word] for word in words(query) if word in self._terms)
        order = sorted(counts, key=lambda term: (-counts[term] * self._most[term], term))
        bounds = [counts[term] * self._most[term] * _SLACK for term in order]
        rest = [*accumulate(reversed(bounds))][::-1]
        scores: dict[int, float] = {}
        threshold = 0.0
        for place, term in enumerate(order):
            if rest[place] < threshold:
                scores = {number: score for number, score in scores.items() if score + rest[place] >= threshold}
                self._add_to_found(scores, term, counts[term])
            else:
                self._add_to_all(scores, term, counts[term])
            if len(scores) >= topk:
                threshold = nlargest(topk, scores.values())[-1]
        best = nsmallest(topk, ((-score, number) for number, score in scores.items()))
        return [(number, -score) for score, number in best]

    def _add_to_all(self, scores: dict[int, float], term: int, count: int) -> None:
        start, end = self._starts[term], self._starts[term + 1]
        postings = zip(self._documents[start:end], self._weights[start:end], strict=True)
        if not scores and count == 1:
            scores.update(postings)
            return
        get = scores.get
        for number, weight in postings:
            scores[number] = get(number, 0.0) + count * weight

    def _add_to_found(self, scores: dict[int, float], term: int, count: int) -> None:
        start, end = self._starts[term], self._starts[term + 1]
        for number in scores:
            place = bisect_left(self._documents, number, start, end)
            if place < end and self._documents[place] == number:
                scores[number] += count * self._weights[place]

    def save(self, path: Path, made_from: object) -> None:
        """Write the index to a file; `made_from`, plain JSON, says what it was made of."""
        names = "\n".join(self._terms).encode()
        arrays = [self._starts, self._documents, self._weights, self._most]
        header = {
            "format": _FORMAT,
            "made_from": made_from,
            "num_documents": self.num_documents,
            "names_bytes": len(names),
            "lengths": [len(one) for one in arrays],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")  # workers that start together each write their own
        with unfinished.open("wb") as file:
            text = orjson.dumps(header) + b"\n"
            file.write(text + b" " * (-(len(text) + len(names)) % 8) + names)
            for one in arrays:
                file.write(memoryview(one))  # type: ignore[arg-type]
                file.write(b"\0" * (-file.tell() % 8))
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path, made_from: object) -> Bm25Index | None:
        """The index in a file, mapped, so that several processes share it; None where it was made from other things."""
        if not path.is_file():
            return None
        with path.open("rb") as file:
            first = file.readline()
            try:
                header = orjson.loads(first)
            except orjson.JSONDecodeError:
                return None
            if header.get("format") != _FORMAT or header.get("made_from") != orjson.loads(orjson.dumps(made_from)):
                return None
            text = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        position = len(first) + -(len(first) + header["names_bytes"]) % 8
        names = str(text[position : position + header["names_bytes"]], "utf-8").split("\n")
        position += header["names_bytes"]
        arrays = []
        for kind, length in zip("QIff", header["lengths"], strict=True):
            size = length * array(kind).itemsize
            arrays.append(text[position : position + size].cast(kind))
            position += size + -size % 8
        terms = {name: number for number, name in enumerate(names)}
        return cls(header["num_documents"], terms, *arrays)
