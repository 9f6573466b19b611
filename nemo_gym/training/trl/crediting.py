"""Crediting: the batch that the trainer made, with all sequences of its rollouts and with advantages of tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from trl import GRPOTrainer

from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.training.trl.credit import Credited, advantages_of
from nemo_gym.training.trl.critic import Critic, hidden_states
from nemo_gym.training.trl.options import WITH_CRITIC, RolloutOptions
from nemo_gym.training.trl.own_generation import eos_id_of
from nemo_gym.training.trl.rollout import TokenSequence, TRLRollout, masked_sequence
from nemo_gym.training.trl.tensors import (
    Tensors,
    padded_advantages,
    policy_log_probs,
    reference_log_probs,
    tensors_of,
)


class Crediting:
    """Kept over all batches of a training run, as the critic is."""

    def __init__(self, trainer: GRPOTrainer, options: RolloutOptions) -> None:
        """Raises `ConfigError` for settings of the trainer under which these advantages would not be what they say."""
        problems = [] if options.is_trainers_own_advantage else _problems(trainer, options)
        if problems:
            raise ConfigError([ConfigProblem("trainer options", key, message) for key, message in problems])
        self.options = options
        self.critic = _critic_of(trainer, options) if options.estimator in WITH_CRITIC else None

    def credited(
        self, trainer: GRPOTrainer, output: Tensors, rollouts: Sequence[TRLRollout], totals: Sequence[float | None]
    ) -> Tensors:
        """The trainer's batch of one row a rollout, as it is to be trained.

        `totals`: each rollout's reward by all reward functions, None where there is none.
        """
        sequences = [one for rollout in rollouts for one in rollout.sequences]
        advantages = None if self.options.is_trainers_own_advantage else self._advantages(trainer, rollouts, totals)
        rows = self._number_of_rows(trainer, len(sequences))
        if rows != len(rollouts):
            output = self._rebuilt(trainer, output, rollouts, sequences, rows)
        if advantages is not None:
            output = {**output, "advantages": padded_advantages(advantages, output["completion_ids"])}
        if self._is_weighed_by_what_was_sampled(output):
            output = {**output, "old_per_token_logps": self._sampled_at(trainer, output)}
        return output

    def _is_weighed_by_what_was_sampled(self, output: Tensors) -> bool:
        """Whether the clipped ratio is to correct for staleness. With vLLM within the trainer another ratio does."""
        known = "sampling_per_token_logps" in output and "importance_sampling_ratio" not in output
        return known and self.options.batches_ahead > 0

    def _number_of_rows(self, trainer: GRPOTrainer, sequences: int) -> int:
        """Rows of the batch in every process: they are split into equal parts, one a micro-step."""
        mine = torch.tensor([sequences], device=trainer.accelerator.device)
        most = int(trainer.accelerator.gather(mine).max())
        parts = int(trainer.args.steps_per_generation)
        return -(-most // parts) * parts

    def _rebuilt(
        self,
        trainer: GRPOTrainer,
        output: Tensors,
        rollouts: Sequence[TRLRollout],
        sequences: Sequence[TokenSequence],
        rows: int,
    ) -> Tensors:
        """The batch with one row a sequence, and masked rows up to the number wanted."""
        filler = masked_sequence(sequences[0].prompt_ids[-1:], eos_id_of(trainer))
        tensors = tensors_of(trainer, [*sequences, *[filler] * (rows - len(sequences))])
        of_rollout = [index for index, rollout in enumerate(rollouts) for _ in rollout.sequences]
        advantages = torch.zeros(rows, device=output["advantages"].device)
        advantages[: len(of_rollout)] = output["advantages"][of_rollout]
        built = {**tensors, "advantages": advantages}
        if "old_per_token_logps" in output:
            built["old_per_token_logps"] = policy_log_probs(trainer, built)
        if "ref_per_token_logps" in output:
            built["ref_per_token_logps"] = reference_log_probs(trainer, built)
        return built

    def _sampled_at(self, trainer: GRPOTrainer, output: Tensors) -> torch.Tensor:
        """[S, T] log-probabilities of the policy that sampled, which the clipped ratio refers to; the present one's
        where they are not known."""
        recorded = output["sampling_per_token_logps"]
        unknown = torch.isnan(recorded)
        return torch.where(unknown, policy_log_probs(trainer, output), recorded) if unknown.any() else recorded

    def _advantages(
        self, trainer: GRPOTrainer, rollouts: Sequence[TRLRollout], totals: Sequence[float | None]
    ) -> list[np.ndarray]:
        """[C] of each sequence."""
        credited = Credited(rollouts, totals)
        groups = [index // trainer.num_generations for index in range(len(rollouts))]
        divide = trainer.scale_rewards != "none"
        if self.critic is None:
            dense, _ = advantages_of(credited, groups, self.options, divide_by_std=divide)
            return credited.split(dense)
        sequences = [one for rollout in rollouts for one in rollout.sequences]
        backbone = trainer.accelerator.unwrap_model(trainer.model).base_model
        hidden = hidden_states(backbone, sequences, device=trainer.accelerator.device)
        before, after = self.critic.values(hidden)
        lasts = np.cumsum([len(rollout.sequences) for rollout in rollouts]) - 1
        cut = np.array([rollout.truncated for rollout in rollouts])
        dense, returns = advantages_of(
            credited,
            groups,
            self.options,
            divide_by_std=divide,
            values=credited.spread(before),
            bootstrap=np.where(cut, after[lasts], 0.0),
        )
        masks = [row.astype(int).tolist() for row in credited.split(credited.mask)]
        loss = self.critic.learn(hidden, credited.split(returns), masks)
        trainer._metrics["train"]["critic/loss"].append(loss)
        return credited.split(dense)


def only_longest(rollout: TRLRollout) -> TRLRollout:
    """The rollout with its longest sequence alone."""
    return dataclasses.replace(rollout, sequences=(rollout.longest,))


def _problems(trainer: GRPOTrainer, options: RolloutOptions) -> list[tuple[str, str]]:
    found = []
    what = f"estimator `{options.estimator}` with credit `{options.credit}`"
    if trainer.accelerator.num_processes > 1:
        found.append(("estimator", f"{what} needs one training process"))
    if trainer.args.use_liger_kernel:
        found.append(("use_liger_kernel", f"{what} gives each token an advantage, its loss takes one a row; set False"))
    if trainer.multi_objective_aggregation != "sum_then_normalize":
        message = f"is `{trainer.multi_objective_aggregation}`; {what} takes `sum_then_normalize`"
        found.append(("multi_objective_aggregation", message))
    if options.estimator == "grpo" and trainer.scale_rewards == "batch":
        found.append(("scale_rewards", f"is `batch`; {what} takes `group` or `none`"))
    return found


def _critic_of(trainer: GRPOTrainer, options: RolloutOptions) -> Critic:
    return Critic(
        int(trainer.model.config.get_text_config().hidden_size),
        learning_rate=options.critic_learning_rate,
        num_epochs=options.critic_epochs,
        device=trainer.accelerator.device,
    )
