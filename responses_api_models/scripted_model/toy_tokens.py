"""The toy tokenizer: one id a byte, a few ids for structure, and a distribution whose log-probabilities are known.

It lets training code be tested without a model: every id and log-probability that a scripted model reports can be
computed again from the text, by the pure functions here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from nemo_gym.reference_policies import items_of

Item = Mapping[str, Any]

BEGIN = 256
"""First id of every prompt."""
END = 257
"""Ends the text of one item."""
STOP = 258
"""Ends what one model call generated."""
KINDS = {
    "system": 259,
    "user": 260,
    "assistant": 261,
    "reasoning": 262,
    "function_call": 263,
    "function_call_output": 264,
    "tools": 265,
    "other": 266,
}
"""The id that begins an item, by its kind; ids below 256 are bytes of UTF-8."""
SMALLEST_VOCABULARY = 267


def prompt_ids(params: Mapping[str, Any]) -> list[int]:
    """Ids of a request: instructions, tools, then items."""
    ids = [BEGIN]
    if params.get("instructions"):
        ids += _encode("system", params["instructions"])
    if params.get("tools"):
        names = ",".join(str(tool.get("name") or tool.get("type")) for tool in params["tools"])
        ids += _encode("tools", names)
    return ids + item_ids(items_of(params["input"]))


def item_ids(items: Iterable[Item]) -> list[int]:
    """Ids of items, one after the other."""
    return [token for item in items for token in _encode(_kind(item), _text(item))]


def generation_ids(output: Iterable[Item]) -> list[int]:
    """Ids of what one model call wrote; never empty."""
    return [*item_ids(output), STOP]


def reasoning_ids(output: Iterable[Item]) -> list[int]:
    """Ids of the reasoning among them."""
    return item_ids(item for item in output if item.get("type") == "reasoning")


def log_probs_of(
    prompt: Sequence[int], generated: Sequence[int], *, vocab_size: int = 512, seed: int = 0
) -> list[float]:
    """ln p of each generated id given the id before it; the prompt must hold at least one."""
    before = [prompt[-1], *generated[:-1]]
    return [
        log_prob(previous, token, vocab_size=vocab_size, seed=seed)
        for previous, token in zip(before, generated, strict=True)
    ]


def decode(ids: Iterable[int]) -> str:
    """Text of the byte ids, structure left out."""
    return bytes(token for token in ids if token < 256).decode("utf-8", errors="replace")


def log_prob(previous: int, token: int, *, vocab_size: int = 512, seed: int = 0) -> float:
    """ln p(token | previous) of the toy distribution.

    p(t | s) = exp(z(s, t)) / Σ_u exp(z(s, u)) with z(s, t) = ((31 s + 17 t + 7 seed) mod 13) / 4, over all ids below
    `vocab_size`.
    """
    return _logit(previous, token, seed) - _log_normaliser(previous % 13, vocab_size, seed)


def _logit(previous: int, token: int, seed: int) -> float:
    return ((31 * previous + 17 * token + 7 * seed) % 13) / 4


@lru_cache(maxsize=1024)
def _log_normaliser(previous: int, vocab_size: int, seed: int) -> float:
    """ln Σ_u exp(z(previous, u)); z depends on `previous` only by its remainder mod 13."""
    return math.log(sum(math.exp(_logit(previous, token, seed)) for token in range(vocab_size)))


def _encode(kind: str, text: str) -> list[int]:
    return [KINDS[kind], *text.encode("utf-8", errors="replace"), END]


def _kind(item: Item) -> str:
    kind = item.get("role") or item.get("type")
    kind = "system" if kind == "developer" else str(kind)
    return kind if kind in KINDS else "other"


def _text(item: Item) -> str:
    if item.get("type") == "function_call":
        return f"{item['name']}({item['arguments']})"
    if item.get("type") == "reasoning":
        return _joined(item.get("content") or item.get("summary"))
    return _joined(item.get("output") if "output" in item else item.get("content"))


def _joined(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text", part.get("refusal", ""))) for part in parts)
