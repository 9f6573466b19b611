"""The requests that one model's weights work on at a time: each step gives every one its next token."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from responses_api_models.torch_model.continuation import Continuation
from responses_api_models.torch_model.kv_rows import KVRows
from responses_api_models.torch_model.prefix_store import BLOCK, PrefixStore
from responses_api_models.torch_model.sampling import draw


@dataclass(frozen=True)
class Snapshot:
    """Weights that do not change any more."""

    policy_version: int | str
    model: PreTrainedModel
    prefixes: PrefixStore


@dataclass(frozen=True)
class Limits:
    """How much is computed at a time."""

    max_batch_size: int
    """Requests that are sampled side by side; further ones wait."""
    max_prefill_tokens: int
    """Prompt tokens, padding included, in one forward pass; a longer prompt has one of its own."""


class Batch:
    """Continuations of one snapshot. Used by one thread, in inference mode."""

    def __init__(self, snapshot: Snapshot, limits: Limits) -> None:
        self.snapshot = snapshot
        self._limits = limits
        self._kv = KVRows(snapshot.model)
        self._rows: list[Continuation] = []
        """Row r is row r of the cache, which holds all its tokens but the last."""

    @property
    def is_empty(self) -> bool:
        return not self._rows

    def admit(self, waiting: deque[Continuation]) -> None:
        """Take requests from `waiting`, in order, as many as one forward pass and the batch hold; sample first tokens.

        Those that share a beginning with one taken, not computed yet, stay: next time it is known.
        """
        joining, known = self._choose(waiting)
        if not joining:
            return
        first = len(self._rows)
        prefixes = self.snapshot.prefixes
        self._kv.reserve(first + len(joining), max(one.length for one in joining))
        for row, (one, count) in enumerate(zip(joining, known, strict=True), start=first):
            one.policy_version = self.snapshot.policy_version
            if count:
                self._kv.write(row, prefixes.get(one.block_keys(count * BLOCK)))
        self._rows += joining
        logits = self._prefill(first, joining, [count * BLOCK for count in known])
        for row, one in enumerate(joining, start=first):
            self._remember(row, one, one.length)
        self._sample(first, logits)

    def step(self) -> None:
        """One more token for each request; those that end leave."""
        self._drop([row for row, one in enumerate(self._rows) if one.answer.cancelled()])
        if not self._rows:
            return
        device = self.snapshot.model.device
        seen = max(one.length for one in self._rows)
        self._kv.reserve(len(self._rows), seen)
        ids = torch.tensor([one.ids[-1] for one in self._rows], device=device)[:, None]
        positions = torch.tensor([one.length - 1 for one in self._rows], device=device)[:, None]
        self._kv.aim(0, positions, None, seen)
        self._sample(0, self._forward(ids, positions, seen))

    def cancel(self) -> None:
        """End all requests without an answer."""
        for one in self._rows:
            one.answer.cancel()
        self._rows = []

    def fail(self, error: BaseException) -> None:
        """End all requests with this error."""
        for one in self._rows:
            one.fail(error)
        self._rows = []
        self._kv = KVRows(self.snapshot.model)

    def _choose(self, waiting: deque[Continuation]) -> tuple[list[Continuation], list[int]]:
        """Those to take now, out of `waiting`, and how many blocks of each are known."""
        prefixes = self.snapshot.prefixes
        joining: list[Continuation] = []
        known: list[int] = []
        left: list[Continuation] = []
        coming: set[bytes] = set()
        width = 0
        while waiting and len(self._rows) + len(joining) < self._limits.max_batch_size:
            one = waiting.popleft()
            if one.answer.cancelled():
                continue
            # The last token is always computed: its logits are what is asked for.
            keys = one.block_keys(one.length - 1) if prefixes.is_on else []
            count = prefixes.known(keys)
            if count < len(keys) and keys[count] in coming:
                left.append(one)
                continue
            widest = max(width, one.length - count * BLOCK)
            if joining and widest * (len(joining) + 1) > self._limits.max_prefill_tokens:
                left.append(one)
                break
            joining.append(one)
            known.append(count)
            coming.update(keys[count : count + 1])
            width = widest
        waiting.extendleft(reversed(left))
        return joining, known

    def _prefill(self, first: int, joining: Sequence[Continuation], starts: Sequence[int]) -> torch.Tensor:
        """Compute the prompts from `starts` on, padded on the left. Returns the logits after each, shape [R, V]."""
        device = self.snapshot.model.device
        seen = max(one.length for one in joining)
        width = max(one.length - start for one, start in zip(joining, starts, strict=True))
        padded = [
            [0] * (width - one.length + start) + one.ids[start:] for one, start in zip(joining, starts, strict=True)
        ]
        lengths = torch.tensor([one.length for one in joining], device=device)[:, None]
        begins = torch.tensor(starts, device=device)[:, None]
        positions = lengths - width + torch.arange(width, device=device)
        real = positions >= begins
        positions = positions.clamp(min=0)
        self._kv.aim(first, positions, real, seen)
        return self._forward(torch.tensor(padded, device=device), positions, seen)

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, seen: int) -> torch.Tensor:
        """Logits after the last token of each row, shape [R, V]. `ids`, `positions`: shape [R, T]."""
        model = self.snapshot.model
        hidden = torch.arange(seen, device=positions.device) > positions[:, None, :, None]
        mask = torch.zeros(hidden.shape, dtype=model.dtype, device=hidden.device).masked_fill_(hidden, -torch.inf)
        answer = model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self._kv,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = answer.logits[:, -1]
        return logits

    def _sample(self, first: int, logits: torch.Tensor) -> None:
        """Give the rows from `first` on a token each; those that end leave with their answers."""
        rows = self._rows[first:]
        drawn = draw(logits, [one.sampling for one in rows], [one.die for one in rows])
        gone = []
        for row, (one, token, log_prob) in enumerate(zip(rows, drawn.ids, drawn.log_probs, strict=True), start=first):
            if log_prob != log_prob:
                one.fail(FloatingPointError("the model's logits are not numbers: its weights cannot be sampled from"))
                gone.append(row)
                continue
            one.add(token, log_prob)
            if one.finish_reason is not None:
                self._remember(row, one, one.length - 1)
                one.finish()
                gone.append(row)
        self._drop(gone)

    def _remember(self, row: int, one: Continuation, length: int) -> None:
        """Keep the blocks among the first `length` tokens of a row that are not known yet."""
        prefixes = self.snapshot.prefixes
        if not prefixes.is_on:
            return
        for block, key in enumerate(one.block_keys(length)):
            if key not in prefixes:
                prefixes.put(key, self._kv.read(row, block * BLOCK, (block + 1) * BLOCK))

    def _drop(self, rows: Sequence[int]) -> None:
        """Remove rows, given in order, each by putting the last one into its place."""
        for row in reversed(rows):
            last = self._rows.pop()
            if row < len(self._rows):
                self._rows[row] = last
                self._kv.move(len(self._rows), row, last.length)
