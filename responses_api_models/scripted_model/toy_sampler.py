"""The toy sampler: what policies say, as bytes and a few ids for structure; each prompt goes on from the last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nemo_gym.ledger.call import Asked, Sampled
from nemo_gym.ledger.engine import Generation
from nemo_gym.ledger.prompts import limited
from nemo_gym.reference_policies import Item
from nemo_gym.schemas.prompt_ids import common_length
from responses_api_models.scripted_model.toy_tokens import generation_ids, item_ids, log_probs_of, prompt_ids

Author = Callable[[dict[str, Any], str], list[Item]]
"""(a Responses request as plain JSON, key of the rollout) → output items."""


class ToySampler:
    """Has `author` answer. `latency_s` gives the seconds that an answer takes."""

    def __init__(
        self, author: Author, latency_s: Callable[[], float], *, context_length: int | None, vocab_size: int, seed: int
    ) -> None:
        self._author, self._latency_s, self._context_length = author, latency_s, context_length
        self._vocab_size, self._seed = vocab_size, seed

    async def sample(self, asked: Asked) -> Sampled:
        incoming, previous = asked.incoming, asked.previous
        params = {**incoming.request, **incoming.settings, "input": asked.conversation.all()}
        if previous is not None and asked.since_previous is not None and not incoming.continues_last:
            kept, added = len(previous.ids), item_ids(asked.since_previous)
        else:
            whole = prompt_ids(params)
            kept = common_length(previous.ids.since(0), whole) if previous is not None else 0
            added = whole[kept:]
        length = kept + len(added)
        limited(params, length, self._context_length)
        await asyncio.sleep(self._latency_s())
        output = self._author(params, incoming.rollout_key)
        generated = generation_ids(output)
        if added:
            last = added[-1]
        else:
            assert previous is not None, "a prompt is never empty"
            last = previous.ids.until(kept)[-1]
        log_probs = log_probs_of([last], generated, vocab_size=self._vocab_size, seed=self._seed)
        return Sampled(kept, added, Generation(generated, log_probs, "stop"), output, "stop")
