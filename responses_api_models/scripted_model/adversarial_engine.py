"""The adversarial engine: says what it is told to, in tokens and through a template that are out to break exactness."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence

from nemo_gym.ledger.chat_markup import read_chat_markup
from nemo_gym.ledger.engine import Generation, Json
from nemo_gym.reference_policies import Item
from nemo_gym.reference_policies.items import text_of
from responses_api_models.scripted_model import adversarial_tokens as tokens
from responses_api_models.scripted_model.toy_tokens import log_probs_of

Writer = Callable[[Json, str], str]
"""(chat request, key of the rollout) → what the model writes."""


class AdversarialEngine:
    """Has `writer` write each answer."""

    def __init__(self, writer: Writer, *, context_length: int | None = None, seed: int = 0) -> None:
        self._writer, self._context_length, self._seed = writer, context_length, seed

    async def render(self, request: Json) -> list[int]:
        return tokens.encode(tokens.render(request))

    async def encode(self, text: str) -> list[int]:
        return tokens.encode_plain(text)

    async def generate(self, prompt_ids: Sequence[int], request: Json, rollout_key: str) -> Generation:
        text = self._writer(request, rollout_key)
        rng = random.Random(f"{self._seed}/{rollout_key}/{len(prompt_ids)}")
        ids = [*tokens.sampled(text, rng), tokens.END]
        most: int | None = request.get("max_tokens")
        cut = most is not None and len(ids) > most
        ids = ids[:most] if cut else ids
        log_probs = log_probs_of(prompt_ids[-1:], ids, vocab_size=tokens.VOCABULARY, seed=self._seed)
        return Generation(ids, log_probs, "length" if cut else "stop")

    async def read(self, generation: Generation, request: Json) -> Json:
        text = tokens.decode(generation.ids).removesuffix(tokens.END_TEXT)
        return read_chat_markup(text, tools_declared=bool(request.get("tools")))

    async def context_length(self) -> int | None:
        return self._context_length


def as_text(output: Iterable[Item]) -> str:
    """Output items as a model would write them, not as the template would."""
    return "".join(_written(item) for item in output)


def _written(item: Item) -> str:
    if item.get("type") == "reasoning":
        return f"<think>{text_of(item.get('content') or item.get('summary'))}</think>"
    if item.get("type") == "function_call":
        call = {"name": item["name"], "arguments": json.loads(item["arguments"])}
        return f"<tool_call> {json.dumps(call, indent=1)}</tool_call>"
    return text_of(item.get("content"))
