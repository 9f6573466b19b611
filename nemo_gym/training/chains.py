"""Chains: the marked positions of each row of a batch, each linked to the next one of its row whatever lies between.

What is computed along chains is packed: a flat array with one entry a marked position, row after row. Recursions run
over all rows at once, one step for each link of the longest chain, so that cost grows with marked positions and not
with padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nemo_gym.training.groups import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Chains:
    """B chains of M marked positions in all; made by `of`, read by credit and advantages."""

    shape: tuple[int, int]
    """(B, T) of the mask."""
    positions: IntArray
    """[M] places of the marked positions in the flattened mask."""
    lengths: IntArray
    """[B] marked positions of each row."""

    @classmethod
    def of(cls, mask: BoolArray) -> Chains:
        """Of a mask [B, T]."""
        rows, tokens = mask.shape
        return cls(shape=(rows, tokens), positions=np.flatnonzero(mask), lengths=np.count_nonzero(mask, axis=1))

    @cached_property
    def rows(self) -> IntArray:
        """[M] the row of each marked position."""
        return np.repeat(np.arange(self.lengths.size), self.lengths)

    @cached_property
    def last(self) -> IntArray:
        """Packed places at which the chains of rows with any marked position end."""
        return np.cumsum(self.lengths)[self.lengths > 0] - 1

    @cached_property
    def from_start(self) -> IntArray:
        """[M] number of each marked position within its row, from 0."""
        return np.arange(self.positions.size) - np.repeat(np.cumsum(self.lengths) - self.lengths, self.lengths)

    def pack(self, dense: FloatArray) -> FloatArray:
        """[B, T] → [M]."""
        return dense.ravel().take(self.positions)

    def to_dense(self, packed: FloatArray) -> FloatArray:
        """[M] → [B, T], zero at the positions that are not marked."""
        dense = np.zeros(self.shape)
        dense.ravel()[self.positions] = packed
        return dense

    def following(self, packed: FloatArray, after_last: FloatArray | float = 0.0) -> FloatArray:
        """[M] the entry of the next position of the same row; of the last one `after_last`, a number or [B]."""
        shifted = np.empty_like(packed)
        shifted[:-1] = packed[1:]
        shifted[self.last] = np.broadcast_to(after_last, self.lengths.shape)[self.lengths > 0]
        return shifted

    def accumulate(self, packed: FloatArray, decay: FloatArray | float) -> FloatArray:
        """[M] y_i = x_i + decay_i · y_(i+1), backwards along each chain, zero after its end; `decay`: number or [M]."""
        if not self.positions.size:
            return packed.copy()
        width, longest = self.lengths.size, int(self.lengths.max())
        from_end = np.repeat(self.lengths, self.lengths) - 1 - self.from_start
        # One line a step, all rows beside each other, so that each step reads and writes memory in order.
        slots = from_end * width + self.rows
        lines = np.zeros((longest, width))
        lines.ravel()[slots] = packed
        carried = np.empty(width)
        if isinstance(decay, np.ndarray):
            decays = np.zeros((longest, width))
            decays.ravel()[slots] = decay
            for step in range(1, longest):
                line = lines[step]
                np.multiply(lines[step - 1], decays[step], out=carried)
                np.add(line, carried, out=line)
        else:
            for step in range(1, longest):
                line = lines[step]
                np.multiply(lines[step - 1], decay, out=carried)
                np.add(line, carried, out=line)
        return lines.ravel().take(slots)
