"""What can be chosen about rollouts in a TRL trainer, and about how rewards become advantages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import get_args

from trl import GRPOConfig

from nemo_gym.config.nearest import suggestion
from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.training.credit import Credit
from nemo_gym.training.samples import STEP_WISE, WHOLE
from nemo_gym.training.trl.ladder import STEPS_DOWN

SHAPES = (WHOLE, STEP_WISE)
"""Those in which each token stands after exactly what it was sampled after."""
WITH_CRITIC = ("gae", "turn_gae", "bi_level_gae")
COMPARING = ("grpo", "rloo")
CREDITS_OF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(COMPARING, ("final", "return_to_go", "turn_as_trajectory")),
    **dict.fromkeys(("reinforce_plus_plus", *WITH_CRITIC), ("final", "turn")),
}
"""What each estimator can be given. Those that sum rewards over time themselves take no returns; those that compare
rollouts compare whole ones, or turns."""


@dataclass
class RolloutOptions:
    """Raises `ConfigError` with every mistake."""

    num_batches_ahead: int = 0
    """Batches that are rolled out in the background while earlier ones are trained; 0: on-policy. No sample is staler
    than this many batches."""
    enable_async_generation: bool = True
    """False: as `num_batches_ahead` 0."""
    async_timeout: float = 300.0
    """Seconds that a batch of rollouts may take, on each step of the ladder."""
    fallbacks: list[str] = field(default_factory=lambda: [*STEPS_DOWN])
    """Steps of the ladder for rollouts that failed: `retry`, `replica`, `own_generation`, always in this order. What
    failed after the last one is masked."""
    max_lost_batches: int = 3
    """After so many batches in a row in which not one rollout can be trained, training ends with an error."""
    multi_turn: bool | None = None
    """Whether rows are played by their agent; None: found row by row."""
    max_output_tokens: int | None = None
    """Tokens of one turn at most; None: each row's own `max_output_tokens`, else `max_completion_length`."""
    shape: str = WHOLE
    """Samples of a rollout: `whole` or `step_wise`."""
    credit: str = "final"
    """Where rewards of turns go: `final`, `turn`, `return_to_go` or `turn_as_trajectory`."""
    estimator: str = "grpo"
    """How rewards become advantages; `grpo` with `final` is the trainer's own."""
    gamma: float = 1.0
    gae_lambda: float = 1.0
    high_level_gamma: float = 0.95
    """Discount between turns, of `bi_level_gae` and `turn_gae`."""
    critic_learning_rate: float = 1e-3
    critic_epochs: int = 4
    """Passes over each batch in which the critic learns, after its values were used."""

    def __post_init__(self) -> None:
        problems = self._problems()
        if problems:
            raise ConfigError([ConfigProblem("trainer options", key, message) for key, message in problems])

    @property
    def batches_ahead(self) -> int:
        """What `num_batches_ahead` comes to."""
        return self.num_batches_ahead if self.enable_async_generation else 0

    @property
    def is_trainers_own_advantage(self) -> bool:
        """Whether TRL's advantages, one a rollout, are left as they are."""
        return self.estimator == "grpo" and self.credit == "final"

    def _problems(self) -> list[tuple[str, str]]:
        found = [
            *_unknown("shape", self.shape, SHAPES),
            *_unknown("credit", self.credit, get_args(Credit)),
            *_unknown("estimator", self.estimator, [*CREDITS_OF]),
            *(problem for name in self.fallbacks for problem in _unknown("fallbacks", name, STEPS_DOWN)),
        ]
        allowed = CREDITS_OF.get(self.estimator, ())
        if allowed and self.credit in get_args(Credit) and self.credit not in allowed:
            listed = ", ".join(f"`{one}`" for one in allowed)
            found.append(("credit", f"is `{self.credit}`; estimator `{self.estimator}` takes {listed}"))
        least = {"num_batches_ahead": 0, "max_lost_batches": 1, "critic_epochs": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                found.append((name, f"is {getattr(self, name)}; it must be {bound} or more"))
        if self.max_output_tokens is not None and self.max_output_tokens < 1:
            found.append(("max_output_tokens", f"is {self.max_output_tokens}; it must be 1 or more"))
        for name in ("async_timeout", "critic_learning_rate"):
            if getattr(self, name) <= 0:
                found.append((name, f"is {getattr(self, name):g}; it must be above 0"))
        for name in ("gamma", "gae_lambda", "high_level_gamma"):
            if not 0 <= getattr(self, name) <= 1:
                found.append((name, f"is {getattr(self, name):g}; it must lie between 0 and 1"))
        return found


@dataclass
class GymGRPOConfig(RolloutOptions, GRPOConfig):  # type: ignore[misc]
    """`GRPOConfig` with `RolloutOptions` beside."""

    def __post_init__(self) -> None:
        GRPOConfig.__post_init__(self)
        RolloutOptions.__post_init__(self)


def _unknown(key: str, value: str, known: Sequence[str]) -> list[tuple[str, str]]:
    return [] if value in known else [(key, f"is `{value}`; {suggestion(value, known, kind=f'values of {key}')}")]
