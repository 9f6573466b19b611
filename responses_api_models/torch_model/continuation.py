"""One request under way: a prompt, what was sampled after it so far, and what ends it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from nemo_gym.ledger.engine import Generation
from responses_api_models.torch_model.prefix_store import BLOCK, extend_keys
from responses_api_models.torch_model.sampling import Sampling

BYTES_IN_A_CHARACTER = 4
TOKENS_WITHOUT_TEXT = 16
"""So many may stand within a stop string, as special tokens do."""


class Continuation:
    """Made by the engine, advanced by a batch in the worker's thread. `answer` is set when it ends.

    Cancelling `answer` ends it before the next token.
    """

    def __init__(
        self,
        prompt_ids: Sequence[int],
        sampling: Sampling,
        *,
        max_tokens: int,
        end_ids: frozenset[int],
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        """`max_tokens`: at least 1. `end_ids`: the model's own ends. `decode`: the text of ids."""
        self.ids = list(prompt_ids)
        """Of prompt and continuation."""
        self.prompt_length = len(self.ids)
        self.log_probs: list[float] = []
        self.sampling = sampling
        self.die = random.Random(sampling.seed)
        self.answer: Future[Generation] = Future()
        self.policy_version: int | str | None = None
        """The weights that sample it, from its first token on."""
        self.finish_reason: str | None = None
        self._max_tokens = max_tokens
        self._end_ids = sampling.stop_token_ids | (frozenset() if sampling.ignore_eos else end_ids)
        self._decode = decode
        longest_stop = max(map(len, sampling.stop), default=0)
        self._window = longest_stop * BYTES_IN_A_CHARACTER + TOKENS_WITHOUT_TEXT
        self._keys: list[bytes] = []

    @property
    def length(self) -> int:
        return len(self.ids)

    def block_keys(self, length: int) -> list[bytes]:
        """Keys of the whole blocks among the first `length` ids, for a `PrefixStore`."""
        extend_keys(self._keys, self.ids, length // BLOCK)
        return self._keys[: length // BLOCK]

    def add(self, token: int, log_prob: float) -> None:
        """The next sampled token. Sets `finish_reason` where it is the last."""
        self.ids.append(token)
        self.log_probs.append(log_prob)
        if token in self._end_ids or self._holds_stop():
            self.finish_reason = "stop"
        elif len(self.log_probs) >= self._max_tokens:
            self.finish_reason = "length"

    def finish(self) -> None:
        """Hand over the answer."""
        assert self.finish_reason is not None, "it goes on"
        generated = self.ids[self.prompt_length :]
        generation = Generation(generated, self.log_probs, self.finish_reason, self.policy_version)
        with suppress(InvalidStateError):  # cancelled at this very moment
            self.answer.set_result(generation)

    def fail(self, error: BaseException) -> None:
        """Hand over an error in place of the answer."""
        with suppress(InvalidStateError):
            self.answer.set_exception(error)

    def _holds_stop(self) -> bool:
        if not self.sampling.stop:
            return False
        # A stop string that is there now was not there before, so it ends among the last token's characters.
        text = self._decode(self.ids[max(self.prompt_length, self.length - self._window) :])
        return any(stop in text for stop in self.sampling.stop)
