"""Keys and values of prompts seen before, in blocks of tokens, so that what they have in common is computed once."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import torch

BLOCK = 16
"""Tokens in a block."""


def extend_keys(keys: list[bytes], ids: Sequence[int], count: int) -> None:
    """Add the keys of further blocks of `ids`, up to `count` in all. A key tells all ids up to its block's end."""
    for block in range(len(keys), count):
        before = keys[-1] if keys else b""
        keys.append(blake2b(before + array("q", ids[block * BLOCK : (block + 1) * BLOCK]).tobytes()).digest())


class PrefixStore:
    """Those of one model's weights. What was not used for longest goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._blocks: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    @property
    def is_on(self) -> bool:
        return self._max_bytes > 0

    def __contains__(self, key: bytes) -> bool:
        return key in self._blocks

    def known(self, keys: Sequence[bytes]) -> int:
        """How many of these blocks there are, from the first on without a gap."""
        for count, key in enumerate(keys):
            if key not in self._blocks:
                return count
        return len(keys)

    def get(self, keys: Sequence[bytes]) -> torch.Tensor:
        """Those blocks one after another, shape [layers, 2, BLOCK * len(keys), heads, head_dim]."""
        for key in reversed(keys):  # the last first: a block without those before it is of no use
            self._blocks.move_to_end(key)
        return torch.cat([self._blocks[key] for key in keys], dim=2)

    def put(self, key: bytes, block: torch.Tensor) -> None:
        """Keep a block, shape [layers, 2, BLOCK, heads, head_dim]."""
        size = block.numel() * block.element_size()
        self._blocks[key] = block
        self._bytes += size
        while self._bytes > self._max_bytes:
            _, gone = self._blocks.popitem(last=False)
            self._bytes -= gone.numel() * gone.element_size()
