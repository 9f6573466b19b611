"""Advantages: how much better each rollout, turn or token did than was to be expected.

Of whole rollouts, [N] rewards and one group id a rollout → [N]: `grpo`, `rloo`; `to_tokens` spreads them.
Of tokens, [B, T] token-level rewards and masks → [B, T]: `reinforce_plus_plus`, `gae`, `turn_gae`, `bi_level_gae`.

`loss_mask` marks the trained tokens, `turn_end` the last one of each turn. Every estimator steps from trained token
to trained token: what an environment said in between, and padding, are no steps and are never read, whatever stands
there. A rollout that failed has reward None (or NaN), or no trained token: it shifts no baseline, and its advantages
are zero. V is what the critic expects before the token is sampled. All answers are float64, and zero outside
`loss_mask`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nemo_gym.training.chains import Chains
from nemo_gym.training.groups import BoolArray, FloatArray, Groups, IntArray, Rewards


@dataclass(frozen=True)
class TokenAdvantages:
    """What an estimator over tokens answers."""

    advantages: FloatArray
    """[B, T], not whitened unless the estimator says so."""
    returns: FloatArray
    """[B, T] what a critic is to learn: advantage + V."""


def grpo(
    rewards: Rewards, group_ids: Sequence[Hashable], *, divide_by_std: bool = True, epsilon: float = 1e-6
) -> FloatArray:
    """[N] (r - mean) / (std + epsilon) within each group (Shao et al. 2024, arXiv 2402.03300).

    With `divide_by_std=False` r - mean (Dr. GRPO, Liu et al. 2025, arXiv 2503.20783). std is that of a sample (n -
    1). A group of equal rewards, or of one, gives exact zeros.
    """
    groups = Groups.by_id(group_ids)
    statistics = groups.statistics(rewards)
    return statistics.standardised(groups, epsilon) if divide_by_std else statistics.deviation


def rloo(rewards: Rewards, group_ids: Sequence[Hashable]) -> FloatArray:
    """[N] r - mean of the others' rewards in its group (Ahmadian et al. 2024, arXiv 2402.14740).

    Computed as (r - mean) · n / (n - 1). One alone has nobody to be compared with: zero.
    """
    groups = Groups.by_id(group_ids)
    statistics = groups.statistics(rewards)
    count = statistics.count
    return statistics.deviation * (count / np.maximum(count - 1, 1))[groups.index]


def to_tokens(advantages: ArrayLike, loss_mask: ArrayLike) -> FloatArray:
    """[B] advantages of rollouts and [B, T] mask → [B, T]: each on all trained tokens of its rollout."""
    column, trained = np.asarray(advantages, dtype=np.float64), np.asarray(loss_mask, dtype=np.bool_)
    if trained.ndim != 2 or column.shape != trained.shape[:1]:
        raise ValueError(f"advantages {column.shape} and loss_mask {trained.shape}: give [B] and [B, T]")
    return np.where(trained, column[:, None], 0.0)


def masked_whiten(values: ArrayLike, mask: ArrayLike, *, unbiased: bool = True, epsilon: float = 1e-8) -> FloatArray:
    """(x - mean) / sqrt(variance + epsilon) over all marked entries of a batch; zero elsewhere.

    The variance is divided by n - 1, or by n where not `unbiased`. Fewer than two entries, or equal ones, give zeros.
    """
    marked = np.asarray(mask, dtype=np.bool_)
    dense = np.asarray(values, dtype=np.float64)
    whitened = np.zeros(dense.shape)
    chosen = dense[marked]
    if chosen.size < 2 or chosen.min() == chosen.max():
        return whitened
    chosen -= chosen.mean()
    # Not a dot product: BLAS would wake a thread on every core for it.
    variance = float(np.square(chosen).sum()) / (chosen.size - 1 if unbiased else chosen.size)
    chosen /= np.sqrt(variance + epsilon)
    whitened[marked] = chosen
    return whitened


def reinforce_plus_plus(token_rewards: ArrayLike, loss_mask: ArrayLike, *, gamma: float = 1.0) -> TokenAdvantages:
    """Discounted returns, whitened over the trained tokens of the batch (Hu 2025, arXiv 2501.03262).

    G(t) = r(t) + gamma · G(next); advantages = `masked_whiten(G)`, returns = G. There is no critic and no group.
    """
    batch = _Batch.of(token_rewards, loss_mask)
    returns = batch.tokens.to_dense(batch.tokens.accumulate(batch.rewards, gamma))
    return TokenAdvantages(advantages=masked_whiten(returns, batch.trained), returns=returns)


def gae(
    token_rewards: ArrayLike,
    values: ArrayLike,
    loss_mask: ArrayLike,
    *,
    gamma: float = 1.0,
    gae_lambda: float = 1.0,
    bootstrap: ArrayLike = 0.0,
) -> TokenAdvantages:
    """Generalised advantage estimation over trained tokens (Schulman et al. 2016, arXiv 1506.02438).

    A(t) = r(t) + gamma · V(next) - V(t) + gamma · lambda · A(next). After the last token A is 0, and V is
    `bootstrap`: a number or [B], not zero where a limit cut the episode short.
    """
    batch = _Batch.of(token_rewards, loss_mask)
    tokens, before = batch.tokens, batch.packed_values(values)
    surprise = batch.rewards + gamma * tokens.following(before, batch.per_row(bootstrap)) - before
    return batch.answer(tokens.accumulate(surprise, gamma * gae_lambda), before)


def turn_gae(
    token_rewards: ArrayLike,
    values: ArrayLike,
    loss_mask: ArrayLike,
    turn_end: ArrayLike,
    *,
    high_level_gamma: float = 1.0,
    gae_lambda: float = 1.0,
    bootstrap: ArrayLike = 0.0,
) -> TokenAdvantages:
    """Generalised advantage estimation in which a whole turn is one action: all tokens of a turn share its advantage.

    A_k = r_k + gamma_h · V(s_(k+1)) - V(s_k) + gamma_h · lambda · A_(k+1), where r_k sums the rewards of the turn's
    tokens and s_k is where its first trained token is sampled; V after the last turn is `bootstrap`. Returns are A_k
    + V(s_k) on all tokens of the turn.
    """
    batch = _Batch.of(token_rewards, loss_mask, turn_end)
    before = batch.packed_values(values)
    first = np.append(0, np.flatnonzero(batch.closes)[:-1] + 1) if batch.closes.any() else np.zeros(0, dtype=np.intp)
    earned = np.add.reduceat(batch.rewards, first) if first.size else batch.rewards
    start = before[first]
    surprise = earned + high_level_gamma * batch.turns.following(start, batch.per_row(bootstrap)) - start
    advantages = batch.turns.accumulate(surprise, high_level_gamma * gae_lambda)
    turn_of_token: IntArray = np.cumsum(batch.closes) - batch.closes
    return batch.answer(advantages[turn_of_token], start[turn_of_token])


def bi_level_gae(
    token_rewards: ArrayLike,
    values: ArrayLike,
    loss_mask: ArrayLike,
    turn_end: ArrayLike,
    *,
    gamma: float = 1.0,
    gae_lambda: float = 1.0,
    high_level_gamma: float = 0.95,
    bootstrap: ArrayLike = 0.0,
) -> TokenAdvantages:
    """Generalised advantage estimation first over turns, then over the tokens of each (as in RAGEN and VAGEN).

    Turns end at e_1 … e_K. Turn pass, backwards, with V(e_(K+1)) = `bootstrap` and A_(K+1) = 0:
        A_k = r(e_k) + gamma_h · V(e_(k+1)) - V(e_k) + gamma_h · lambda · A_(k+1).
    Token pass, backwards: at a turn end A = A_k, elsewhere A = r + gamma · V(next) - V + gamma · lambda · A(next).

    With `gamma` = `gae_lambda` = 1: A(j) = R_k - V(j), where R_k = r(e_k) + gamma_h · R_(k+1). With gamma_h = 1
    besides it is `gae`. A reward inside a turn reaches the tokens before it in that turn only. A row's last trained
    token ends its last turn even if `turn_end` does not say so. A turn end on a token that is not trained has its
    part in both passes; its own advantage is left out of the answer like that of any token outside `loss_mask`.
    """
    batch = _Batch.of(token_rewards, loss_mask, turn_end)
    tokens, turns, closes, before = batch.tokens, batch.turns, batch.closes, batch.packed_values(values)
    at_end = before[closes]
    turn_surprise = batch.rewards[closes] - at_end
    turn_surprise += high_level_gamma * turns.following(at_end, batch.per_row(bootstrap))
    surprise = batch.rewards + gamma * tokens.following(before) - before
    surprise[closes] = turns.accumulate(turn_surprise, high_level_gamma * gae_lambda)
    decay = np.where(closes, 0.0, gamma * gae_lambda)
    return batch.answer(tokens.accumulate(surprise, decay), before)


@dataclass(frozen=True)
class _Batch:
    """Rewards and masks that fit each other; packed along `tokens`, the chain of steps in each row."""

    trained: BoolArray
    tokens: Chains
    """Trained tokens, and turn ends that are not trained."""
    rewards: FloatArray
    """[M] of the tokens."""
    closes: BoolArray
    """[M] whether the token ends a turn."""

    @classmethod
    def of(cls, token_rewards: ArrayLike, loss_mask: ArrayLike, turn_end: ArrayLike | None = None) -> _Batch:
        dense, trained = np.asarray(token_rewards, dtype=np.float64), np.asarray(loss_mask, dtype=np.bool_)
        ends = np.zeros_like(trained) if turn_end is None else np.asarray(turn_end, dtype=np.bool_)
        if dense.ndim != 2 or not dense.shape == trained.shape == ends.shape:
            shapes = f"token_rewards {dense.shape}, loss_mask {trained.shape}, turn_end {ends.shape}"
            raise ValueError(f"{shapes}: all are [samples, tokens]")
        tokens = Chains.of(trained | ends)
        rewards = tokens.pack(dense)
        if np.count_nonzero(rewards) != np.count_nonzero(dense):
            row, token = np.argwhere((dense != 0) & ~(trained | ends))[0]
            raise ValueError(f"sample {row} has a reward on token {token}, which is not trained: it would be lost")
        if not np.isfinite(rewards).all():
            raise ValueError(f"sample {tokens.rows[~np.isfinite(rewards)][0]} has a token reward that is not a number")
        closes = ends.ravel().take(tokens.positions)
        closes[tokens.last] = True
        return cls(trained=trained, tokens=tokens, rewards=rewards, closes=closes)

    @property
    def turns(self) -> Chains:
        """The turn ends of each row."""
        rows = self.tokens.rows[self.closes]
        lengths = np.bincount(rows, minlength=self.tokens.shape[0])
        return Chains(shape=self.tokens.shape, positions=self.tokens.positions[self.closes], lengths=lengths)

    def per_row(self, bootstrap: ArrayLike) -> FloatArray:
        """[B] of a number or [B]."""
        return np.broadcast_to(np.asarray(bootstrap, dtype=np.float64), self.tokens.lengths.shape)

    def packed_values(self, values: ArrayLike) -> FloatArray:
        """[M] of [B, T]. Raises ValueError where the critic gave no number."""
        dense = np.asarray(values, dtype=np.float64)
        if dense.shape != self.trained.shape:
            raise ValueError(f"values {dense.shape} and loss_mask {self.trained.shape}: both are [samples, tokens]")
        packed = self.tokens.pack(dense)
        if not np.isfinite(packed).all():
            raise ValueError(f"sample {self.tokens.rows[~np.isfinite(packed)][0]} has a value that is not a number")
        return packed

    def answer(self, advantages: FloatArray, before: FloatArray) -> TokenAdvantages:
        """Packed advantages and the values they are relative to → [B, T]."""
        returns = self.tokens.to_dense(advantages + before)
        dense = self.tokens.to_dense(advantages)
        if self.tokens.positions.size != np.count_nonzero(self.trained):
            dense[~self.trained] = returns[~self.trained] = 0.0
        return TokenAdvantages(advantages=dense, returns=returns)
