"""CPU time of the estimators on 256 samples of 4,096 tokens: `python -m tests.benchmarks.advantages`.

Each sample is a conversation of `TURNS` turns. Between them the environment speaks: three tokens of four are trained.
`all trained` is the worst case: every token is a step.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nemo_gym.training import advantages, credit
from tests.benchmarks.table import machine, markdown_table

SAMPLES, TOKENS, TURNS, REPEATS = 256, 4096, 8, 15


@dataclass(frozen=True)
class Batch:
    """One batch, as a trainer holds it."""

    rewards: NDArray[np.float32]
    values: NDArray[np.float32]
    loss_mask: NDArray[np.bool_]
    turn_end: NDArray[np.bool_]
    turn_rewards: list[list[float]]
    groups: list[int]


def make_batch(trained: float) -> Batch:
    """`trained`: the part of each turn that the policy sampled."""
    rng = np.random.default_rng(0)
    length = TOKENS // TURNS
    place = np.arange(TOKENS) % length
    loss_mask = np.tile(place >= length * (1 - trained), (SAMPLES, 1))
    turn_end = np.tile(place == length - 1, (SAMPLES, 1))
    turn_rewards = rng.random((SAMPLES, TURNS))
    rewards = np.zeros((SAMPLES, TOKENS), np.float32)
    rewards[turn_end] = turn_rewards.ravel()
    return Batch(
        rewards=rewards,
        values=rng.standard_normal((SAMPLES, TOKENS)).astype(np.float32),
        loss_mask=loss_mask,
        turn_end=turn_end,
        turn_rewards=turn_rewards.tolist(),
        groups=[sample // 8 for sample in range(SAMPLES)],
    )


def calls(batch: Batch) -> dict[str, Callable[[], object]]:
    tokens = (batch.rewards, batch.values, batch.loss_mask)
    rollouts = [sum(rewards) for rewards in batch.turn_rewards]
    return {
        "`grpo` + `to_tokens`": lambda: advantages.to_tokens(advantages.grpo(rollouts, batch.groups), batch.loss_mask),
        "`rloo` + `to_tokens`": lambda: advantages.to_tokens(advantages.rloo(rollouts, batch.groups), batch.loss_mask),
        "`reinforce_plus_plus`": lambda: advantages.reinforce_plus_plus(batch.rewards, batch.loss_mask, gamma=0.99),
        "`gae`": lambda: advantages.gae(*tokens, gamma=0.99, gae_lambda=0.95),
        "`turn_gae`": lambda: advantages.turn_gae(*tokens, batch.turn_end, gae_lambda=0.95),
        "`bi_level_gae`": lambda: advantages.bi_level_gae(*tokens, batch.turn_end, gamma=0.99, gae_lambda=0.95),
        "`masked_whiten`": lambda: advantages.masked_whiten(batch.values, batch.loss_mask),
        "`credit.return_to_go`": lambda: credit.return_to_go(batch.turn_rewards, batch.turn_end, batch.loss_mask),
    }


def cpu_ms(call: Callable[[], object]) -> tuple[float, float]:
    """Median and least CPU time, over all threads."""
    call()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        times.append((time.process_time() - start) * 1000)
    return statistics.median(times), min(times)


def main() -> None:
    partly, wholly = calls(make_batch(0.75)), calls(make_batch(1.0))
    rows = []
    for name in partly:
        figures = [*cpu_ms(partly[name]), *cpu_ms(wholly[name])]
        rows.append([name, *(f"{figure:.0f}" for figure in figures)])
    header = ["", "three quarters trained: median", "least", "all trained: median", "least"]
    print(f"CPU ms, {SAMPLES} × {TOKENS} tokens, {TURNS} turns, NumPy {np.__version__}, {machine()}\n")
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
