"""The record of a training: what each step and each held-out evaluation came to, and the summary of all."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

MISMATCH = "sampling/sampling_logp_difference"
"""How TRL calls |ln p (trainer) - ln p (server)| of the tokens that are trained."""


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step."""

    step: int
    reward: float
    """Mean over the batch's rollouts, by the weights from before the step."""
    mismatch_max: float
    mismatch_mean: float
    tokens_per_s: float
    """Prompt and completion tokens of the batch, by the whole step's time."""
    failed: int
    """Rollouts that were masked because they failed."""
    kl: float | None
    """To the policy after warm-up, nats a token; None without a penalty."""


@dataclass
class TrainingRecord:
    """Grows while training goes on."""

    num_steps: int
    steps: list[StepRecord] = field(default_factory=list)
    held_out: dict[int, float] = field(default_factory=dict)
    """Mean reward of the held-out rows by the weights after so many steps."""
    _clock: float = field(default_factory=time.monotonic)
    _tokens: float = 0.0

    def start_clock(self) -> None:
        """Time from now on belongs to the step to come."""
        self._clock = time.monotonic()

    def add_step(self, step: int, logs: dict[str, Any]) -> StepRecord:
        """What TRL logs of a step."""
        tokens, now = float(logs.get("num_tokens", 0.0)), time.monotonic()
        added = StepRecord(
            step=step,
            reward=float(logs["reward"]),
            mismatch_max=float(logs.get(f"{MISMATCH}/max", 0.0)),
            mismatch_mean=float(logs.get(f"{MISMATCH}/mean", 0.0)),
            tokens_per_s=(tokens - self._tokens) / max(now - self._clock, 1e-9),
            failed=int(logs.get("rollouts/fallback/masked", 0)),
            kl=logs.get("kl"),
        )
        self._tokens, self._clock = tokens, now
        self.steps.append(added)
        return added

    @property
    def before(self) -> float:
        """Held-out reward after warm-up, before the first step."""
        return self.held_out[0]

    @property
    def after(self) -> float:
        return self.held_out[max(self.held_out)]

    @property
    def mismatch_max(self) -> float:
        return max((one.mismatch_max for one in self.steps), default=0.0)
