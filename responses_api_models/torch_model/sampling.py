"""How one request wants its tokens drawn, and the draw itself."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

NEUTRAL: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "min_tokens": (0,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "tool_choice": ("auto", "none"),
    "response_format": ({"type": "text"},),
}
"""Parameters whose other values would change what is sampled or told, and which this engine does not know."""


@dataclass(frozen=True)
class Sampling:
    """The distribution that tokens are drawn from, and what ends an answer."""

    temperature: float = 1.0
    """0: always the likeliest token."""
    top_p: float = 1.0
    """Of the likeliest tokens only so many as have this probability together; in (0, 1]."""
    top_k: int = 0
    """Only so many of the likeliest tokens; 0: all."""
    min_p: float = 0.0
    """Only tokens at least so likely, as a part of the likeliest one's probability; in [0, 1)."""
    seed: int | None = None
    """The same seed gives the same answer to the same prompt, whatever is sampled beside it."""
    max_tokens: int | None = None
    """None: as many as the context has room for."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer."""
    stop_token_ids: frozenset[int] = frozenset()
    """Ids that end the answer, beside the model's own ends."""
    ignore_eos: bool = False
    """Whether the model's own ends end nothing."""

    @property
    def truncates(self) -> bool:
        """Whether some tokens cannot be drawn."""
        return self.temperature > 0 and (self.top_p < 1 or self.top_k > 0 or self.min_p > 0)

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Sampling:
        """The parameters of a chat request. Raises ValueError naming the first that cannot be heeded."""
        given = {name: value for name, value in request.items() if value is not None}
        for name, neutral in NEUTRAL.items():
            if name in given and given[name] not in neutral:
                allowed = " or ".join(repr(value) for value in neutral)
                raise ValueError(f"`{name}` is {given[name]!r}: this engine samples only with {allowed}")
        stop = given.get("stop", ())
        top_k = _integer(given, "top_k", 0)
        max_tokens = _integer(given, "max_completion_tokens", _integer(given, "max_tokens", None))
        sampling = cls(
            temperature=_number(given, "temperature", 1.0),
            top_p=_number(given, "top_p", 1.0),
            top_k=max(top_k or 0, 0),  # -1 means all, as 0 does
            min_p=_number(given, "min_p", 0.0),
            seed=_integer(given, "seed", None),
            max_tokens=max_tokens,
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            stop_token_ids=frozenset(given.get("stop_token_ids", ())),
            ignore_eos=bool(given.get("ignore_eos", False)),
        )
        sampling._check()
        return sampling

    def _check(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"`temperature` is {self.temperature:g}: it must be 0 or more")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"`top_p` is {self.top_p:g}: it must be above 0 and at most 1")
        if not 0 <= self.min_p < 1:
            raise ValueError(f"`min_p` is {self.min_p:g}: it must be 0 or more and below 1")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"`max_tokens` is {self.max_tokens}: it must be 1 or more")
        if not all(isinstance(text, str) and text for text in self.stop):
            raise ValueError("`stop`: each must be a text that is not empty")
        if not all(isinstance(token, int) for token in self.stop_token_ids):
            raise ValueError("`stop_token_ids`: each must be an integer")


@dataclass(frozen=True)
class Draw:
    """One token for each row of a batch."""

    ids: list[int]
    log_probs: list[float]
    """ln softmax(logits / temperature) of each id, over the whole vocabulary: before top_k, top_p and min_p, as
    trainers compute it. At temperature 0 that of temperature 1. NaN where the row's logits hold no numbers."""


def draw(logits: torch.Tensor, samplings: Sequence[Sampling], dice: Sequence[random.Random]) -> Draw:
    """One token a row. `logits`: shape [B, V]. One number is taken from each die whose row is not greedy.

    A token is where the die's number falls in the cumulated distribution, in order of ids.
    """
    logits = logits.float()
    temperatures = [sampling.temperature for sampling in samplings]
    scale = torch.tensor([value or 1.0 for value in temperatures], device=logits.device)
    log_probs = torch.log_softmax(logits / scale[:, None], dim=-1)
    if any(temperatures):
        probs = log_probs.double().exp()
        filtered = [row for row, sampling in enumerate(samplings) if sampling.truncates]
        if filtered:
            probs[filtered] = _truncated(probs[filtered], [samplings[row] for row in filtered])
        cumulated = probs.cumsum(dim=-1)
        total = cumulated[:, -1:]
        numbers = [die.random() if warm else 0.0 for die, warm in zip(dice, temperatures, strict=True)]
        places = torch.tensor(numbers, dtype=torch.float64, device=logits.device)[:, None] * total
        # Rounding must not make the place the very end, which lies beyond the last token.
        places = torch.minimum(places, torch.nextafter(total, torch.zeros_like(total)))
        chosen = torch.searchsorted(cumulated, places, right=True)[:, 0].clamp_(max=logits.shape[-1] - 1)
        if not all(temperatures):
            greedy = torch.tensor([not value for value in temperatures], device=logits.device)
            chosen = torch.where(greedy, logits.argmax(dim=-1), chosen)
    else:
        chosen = logits.argmax(dim=-1)
    taken = log_probs.gather(1, chosen[:, None])[:, 0]
    return Draw(chosen.tolist(), taken.tolist())


def _truncated(probs: torch.Tensor, samplings: Sequence[Sampling]) -> torch.Tensor:
    """Without the tokens that may not be drawn: by min_p, then top_k, then top_p, each of what the former left.

    Shape [B, V]; rows need not sum to 1.
    """
    ordered, order = probs.sort(dim=-1, descending=True, stable=True)
    size = probs.shape[-1]
    column = {"dtype": torch.float64, "device": probs.device}
    min_p = torch.tensor([sampling.min_p for sampling in samplings], **column)[:, None]
    top_k = torch.tensor([sampling.top_k or size for sampling in samplings], device=probs.device)[:, None]
    top_p = torch.tensor([sampling.top_p for sampling in samplings], **column)[:, None]
    kept = ordered >= min_p * ordered[:, :1]
    kept &= torch.arange(size, device=probs.device) < top_k
    ordered = ordered * kept
    before = ordered.cumsum(dim=-1) - ordered
    ordered = ordered * ((before < top_p * ordered.sum(dim=-1, keepdim=True)) | (top_p >= 1))
    return torch.zeros_like(probs).scatter_(1, order, ordered)


def _number(given: Mapping[str, Any], name: str, default: float) -> float:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"`{name}` is {value!r}: it must be a number")
    return float(value)


def _integer(given: Mapping[str, Any], name: str, default: int | None) -> int | None:
    value = given.get(name, default)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError(f"`{name}` is {value!r}: it must be an integer")
    return value
