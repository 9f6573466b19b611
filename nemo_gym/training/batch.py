"""A batch: samples padded to one length, as the arrays that credit and advantages take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nemo_gym.errors import TrajectoryError
from nemo_gym.training.samples import Flags, Sample
from nemo_gym.training.trajectory import Floats, Ids

T = TypeVar("T", np.int64, np.float64, np.bool_)


@dataclass(frozen=True, eq=False)
class Batch:
    """B samples of T tokens, padded on the right. Row b is `samples[b]`."""

    samples: tuple[Sample, ...]
    ids: Ids
    """[B, T]: `pad_id` beyond a sample's own length."""
    attention_mask: Flags
    """[B, T]: the sample's own tokens."""
    response_mask: Flags
    """[B, T]"""
    loss_mask: Flags
    """[B, T]"""
    turn_id: Ids
    """[B, T]: -1 where no response token is."""
    turn_end: Flags
    """[B, T]"""
    log_probs: Floats
    """[B, T]: 0.0 where no response token is."""

    @property
    def turn_rewards(self) -> list[Floats | None]:
        """[B] lists, as `credit.token_rewards` takes them; None for a failed rollout."""
        return [None if sample.reward is None else sample.turn_rewards for sample in self.samples]

    @property
    def episode_rewards(self) -> list[float | None]:
        """[B]: the whole rollout's reward, for baselines; None for a failed rollout."""
        return [sample.episode_reward for sample in self.samples]

    @property
    def group_ids(self) -> list[str]:
        """[B]"""
        return [sample.group_id for sample in self.samples]


def batch_of(samples: Sequence[Sample], *, pad_id: int, multiple_of: int = 1) -> Batch:
    """The samples side by side, T being the longest one's length, raised to a multiple of `multiple_of`.

    Raises `TrajectoryError` where there is nothing to put side by side.
    """
    if not samples:
        raise TrajectoryError("a batch needs at least one sample")
    if multiple_of < 1:
        raise TrajectoryError(f"`multiple_of` is {multiple_of}: it must be 1 or more")
    longest = max(len(sample.ids) for sample in samples)
    length = -(-max(longest, 1) // multiple_of) * multiple_of

    def numbers(arrays: Sequence[Ids], fill: int) -> Ids:
        return _padded(arrays, np.full((len(samples), length), fill, dtype=np.int64))

    def flags(arrays: Sequence[Flags]) -> Flags:
        return _padded(arrays, np.zeros((len(samples), length), dtype=np.bool_))

    return Batch(
        samples=tuple(samples),
        ids=numbers([one.ids for one in samples], pad_id),
        attention_mask=flags([np.ones(len(one.ids), dtype=np.bool_) for one in samples]),
        response_mask=flags([one.response_mask for one in samples]),
        loss_mask=flags([one.loss_mask for one in samples]),
        turn_id=numbers([one.turn_id for one in samples], -1),
        turn_end=flags([one.turn_end for one in samples]),
        log_probs=_padded([one.log_probs for one in samples], np.zeros((len(samples), length))),
    )


def _padded(arrays: Sequence[NDArray[T]], dense: NDArray[T]) -> NDArray[T]:
    """Each array at the beginning of its row of `dense`."""
    for row, array in zip(dense, arrays, strict=True):
        row[: len(array)] = array
    return dense
