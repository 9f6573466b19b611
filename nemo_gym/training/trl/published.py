"""Published weights: which version of the policy the model server holds, and how stale a rollout is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from trl import GRPOTrainer

from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.training.weights import PolicyWeights


class PublishedWeights:
    """Counts batches of rollouts, and publishes the trainer's weights before each where they changed."""

    def __init__(self, weights: PolicyWeights | None) -> None:
        """`weights`: None where somebody else keeps the model server up to date."""
        self.batch = -1
        """Number of the batch that is trained, from 0."""
        self._weights = weights
        self._latest: int | None = None
        self._batch_of: dict[str, int] = {}

    def begin_batch(self, trainer: GRPOTrainer) -> None:
        """Publish, and count a batch, unless the trainer evaluates."""
        self.batch += bool(trainer.model.training)
        self.publish(trainer)
        if self._latest is not None:
            self._batch_of[str(self._latest)] = self.batch

    def publish(self, trainer: GRPOTrainer) -> None:
        """Send the weights if the optimizer has changed them since; their version is `global_step`."""
        version = trainer.state.global_step
        if self._weights is None or version == self._latest:
            return
        state_dict = self._state_dict(trainer)
        if trainer.accelerator.is_main_process:
            self._weights.publish(state_dict, version)
        trainer.accelerator.wait_for_everyone()
        self._latest = version

    def staleness(self, versions: Sequence[int | str | None], submitted_in: int) -> int:
        """Batches since the oldest of these weights were the newest; where unknown, since the rollout was begun."""
        known = [self._batch_of.get(str(version), submitted_in) for version in versions]
        return max(0, self.batch - min(known, default=submitted_in))

    @staticmethod
    def _state_dict(trainer: GRPOTrainer) -> dict[str, torch.Tensor]:
        if hasattr(trainer.accelerator.unwrap_model(trainer.model), "peft_config"):
            message = "adapters are not published; merge them into the model that you train, or give no `weights`"
            raise ConfigError([ConfigProblem("trainer", "weights", message)])
        state_dict: dict[str, torch.Tensor] = trainer.accelerator.get_state_dict(trainer.model)
        return state_dict
