"""GymRollouts: a `rollout_func` for TRL's `GRPOTrainer` in which agents of a running gym play every prompt."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from trl import GRPOTrainer

from nemo_gym.errors import ConfigError, ConfigProblem, DataError, RequestError, RolloutError
from nemo_gym.rollouts.rows import TaskRow
from nemo_gym.schemas.rollout import FAILURE_CLASS, FailureClass
from nemo_gym.training.rollouts import RunningGym, failed_result, with_agent
from nemo_gym.training.task_rows import with_sampling
from nemo_gym.training.trl.ladder import FIRST, MASKED, OWN_GENERATION, STEPS_DOWN, Ladder, Played, finished, summary_of
from nemo_gym.training.trl.options import RolloutOptions
from nemo_gym.training.trl.own_generation import eos_id_of, generate, prompt_ids_of, text_of
from nemo_gym.training.trl.prompts import Prompt, task_row_of
from nemo_gym.training.trl.published import PublishedWeights
from nemo_gym.training.trl.rewards import response_of
from nemo_gym.training.trl.rollout import TokenSequence, TRLRollout, masked, own_rollout, rollout_of
from nemo_gym.training.weights import PolicyWeights

logger = logging.getLogger(__name__)

STALE = "stale"
"""`failure_class` of a rollout that is staler than allowed."""


class GymRollouts:
    """Give it to `GRPOTrainer(rollout_func=…)`. Each prompt carries its task row (`dataset_of`)."""

    def __init__(
        self,
        gym: RunningGym | Sequence[RunningGym],
        *,
        agent: str | None = None,
        options: RolloutOptions | None = None,
        weights: PolicyWeights | None = None,
    ) -> None:
        """`gym`: where rows are played; of several the others are replicas of the first. `agent` plays rows that name
        none. `weights` get the trainer's before each batch of rollouts in which they have changed.
        """
        self.gyms = [gym] if isinstance(gym, RunningGym) else [*gym]
        self.agent, self.options = agent, options or RolloutOptions()
        self.published = PublishedWeights(weights)
        self.ladder = Ladder(self.gyms, self.options.fallbacks, self.options.async_timeout)
        self._lost_batches = 0

    def __call__(self, prompts: Sequence[Prompt], trainer: GRPOTrainer) -> dict[str, Any]:
        """One rollout of each prompt, as TRL takes them; of a rollout that forked the longest segment is trained.

        Raises `ConfigError` for options that need `GymGRPOTrainer`.
        """
        _refuse_options_without_effect(self.options)
        rows = self.rows_of(prompts, trainer)
        self.published.begin_batch(trainer)
        rollouts = self.finish(trainer, prompts, rows, finished(self.submit(rows)), self.published.batch)
        self.log(trainer, rollouts)
        return output_of(rollouts)

    def rows_of(self, prompts: Sequence[Prompt], trainer: GRPOTrainer) -> list[TaskRow]:
        """The rows as they are sent: with an agent, and sampled as the trainer assumes it."""
        return [self._row_of(index, prompt, trainer) for index, prompt in enumerate(prompts)]

    def submit(self, rows: Sequence[TaskRow]) -> Future[list[Played]]:
        """Begin one rollout of each row in the background."""
        return self.ladder.submit(rows)

    def finish(
        self,
        trainer: GRPOTrainer,
        prompts: Sequence[Prompt],
        rows: Sequence[TaskRow],
        played: Sequence[Played],
        submitted_in: int,
    ) -> list[TRLRollout]:
        """Rollouts from what was played, the ladder's last steps included: own generation, masked.

        `submitted_in` is the number of the batch in whose training they were begun.
        Raises `RolloutError` once too many batches in a row hold nothing to be trained.
        """
        hopeful = [index for index, one in enumerate(played) if one.failed and not one.is_hopeless]
        own: dict[int, TRLRollout] = {}
        if hopeful:
            logger.warning("%s", summary_of(played))
        if hopeful and OWN_GENERATION in self.options.fallbacks:
            generated = self._own_generation(trainer, [prompts[i] for i in hopeful], [rows[i] for i in hopeful])
            own = dict(zip(hopeful, generated, strict=True))
        rollouts = [
            own.get(index) or self._rollout(trainer, index, prompts[index], one, submitted_in)
            for index, one in enumerate(played)
        ]
        self._count_lost(rollouts, played)
        return rollouts

    def log(self, trainer: GRPOTrainer, rollouts: Sequence[TRLRollout]) -> None:
        """Metrics and columns of these rollouts, as reward functions log theirs."""
        for name, value in metrics_of(rollouts).items():
            trainer._log_metric(name, value)
        for column, values in columns_of(rollouts).items():
            trainer._log_completion_extra(column, values)

    def _row_of(self, index: int, prompt: Prompt, trainer: GRPOTrainer) -> TaskRow:
        row = task_row_of(prompt)
        if row is None:
            what = "this prompt carries no task row; make the dataset with `nemo_gym.training.trl.dataset_of(rows)`"
            raise DataError("prompts", index, what)
        row = with_agent(row, self.gyms[0].agent_for(row if row.get("agent_ref") else self.agent))
        of_row = row["responses_create_params"].get("max_output_tokens")
        longest = self.options.max_output_tokens or of_row or trainer.max_completion_length
        sampling = {
            "temperature": trainer.temperature,
            "top_p": trainer.top_p,
            "top_k": trainer.top_k or None,
            "min_p": trainer.min_p,
            "repetition_penalty": trainer.repetition_penalty,
            "max_output_tokens": longest,
        }
        return with_sampling(row, sampling)

    def _rollout(
        self, trainer: GRPOTrainer, index: int, prompt: Prompt, played: Played, submitted_in: int
    ) -> TRLRollout:
        rollout = rollout_of(
            played.result,
            group=str(index),
            step=played.step,
            shape=self.options.shape,
            max_completion_length=trainer.max_completion_length,
            prompt_ids=partial(prompt_ids_of, trainer, prompt),
            eos_id=eos_id_of(trainer),
        )
        staleness = self.published.staleness(rollout.policy_versions, submitted_in)
        if staleness > self.options.batches_ahead:
            logger.warning(
                "a rollout is %d batches stale, %d are allowed: masked", staleness, self.options.batches_ahead
            )
            rollout = masked(rollout, STALE, eos_id_of(trainer))
        return dataclasses.replace(rollout, staleness=staleness)

    def _own_generation(
        self, trainer: GRPOTrainer, prompts: Sequence[Prompt], rows: Sequence[TaskRow]
    ) -> list[TRLRollout]:
        sequences = generate(trainer, prompts)
        responses = [response_of(text_of(trainer, one)) for one in sequences]
        results = self._verified(rows, responses)
        reason = "fell back to a single turn of the trainer's own generation"
        rollouts = [
            own_rollout(
                _rewarded(sequence, result),
                mode_reason=reason,
                step=OWN_GENERATION,
                reward=_reward(result),
                result=result,
            )
            for sequence, result in zip(sequences, results, strict=True)
        ]
        eos_id = eos_id_of(trainer)
        return [one if one.reward is not None else masked(one, str(one.failure_class), eos_id) for one in rollouts]

    def _verified(self, rows: Sequence[TaskRow], responses: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Scored by the first gym that scores; failures where none does."""
        results = [failed_result(row, FailureClass.UNREACHABLE, "no gym answers") for row in rows]
        for gym in self.gyms:
            open_ones = [index for index, result in enumerate(results) if FAILURE_CLASS in result]
            try:
                again = gym.verify_all([rows[i] for i in open_ones], [responses[i] for i in open_ones])
            except RequestError as error:
                again = [failed_result(rows[i], FailureClass.UNREACHABLE, str(error)) for i in open_ones]
            for index, result in zip(open_ones, again, strict=True):
                results[index] = result
        return results

    def _count_lost(self, rollouts: Sequence[TRLRollout], played: Sequence[Played]) -> None:
        if not rollouts:
            return
        self._lost_batches = 0 if any(one.is_trained for one in rollouts) else self._lost_batches + 1
        if self._lost_batches < self.options.max_lost_batches:
            return
        first = next((one.result for one in played if one.failed), {})
        message = f"nothing could be trained in {self._lost_batches} batches in a row (`max_lost_batches`): "
        kind = str(first.get(FAILURE_CLASS, "nothing sampled"))
        raise RolloutError(message + summary_of(played), status=502, failure_class=kind, row={}, result=first)


def output_of(rollouts: Sequence[TRLRollout]) -> dict[str, Any]:
    """What a `rollout_func` returns, one of each list a rollout; keys beyond the first four go to reward functions."""
    longest = [one.longest for one in rollouts]
    return {
        "prompt_ids": [one.prompt_ids for one in longest],
        "completion_ids": [one.completion_ids for one in longest],
        "logprobs": [one.log_probs for one in longest],
        "env_mask": [one.mask for one in longest],
        "rollout_reward": [one.reward for one in rollouts],
        "turn_rewards": [one.turn_rewards for one in rollouts],
        "mode": [one.mode for one in rollouts],
        "mode_reason": [one.mode_reason for one in rollouts],
        "stop_reason": [one.stop_reason for one in rollouts],
        "failure_class": [one.failure_class for one in rollouts],
        "trajectory_id": [one.trajectory_id for one in rollouts],
        "num_turns": [one.num_turns for one in rollouts],
        "num_forks": [one.num_forks for one in rollouts],
        "dropped_turns": [one.dropped_turns for one in rollouts],
        "policy_versions": [one.policy_versions for one in rollouts],
        "staleness": [one.staleness for one in rollouts],
        "fallback": [one.step for one in rollouts],
        "rollout": [one.result for one in rollouts],
    }


def columns_of(rollouts: Sequence[TRLRollout]) -> dict[str, list[str]]:
    """What stands beside each completion in TRL's table of completions."""
    return {
        "mode": [str(one.mode) for one in rollouts],
        "mode_reason": [one.mode_reason for one in rollouts],
        "stop_reason": [one.stop_reason for one in rollouts],
        "fallback": [str(one.step) for one in rollouts],
        "staleness": [str(one.staleness) for one in rollouts],
        "num_turns": [str(one.num_turns) for one in rollouts],
        "policy_versions": [str(one.policy_versions) for one in rollouts],
    }


def metrics_of(rollouts: Sequence[TRLRollout]) -> dict[str, float]:
    """Numbers of a batch: counts a batch, and means over its rollouts."""
    steps = Counter(one.step for one in rollouts)
    number = len(rollouts)
    return {
        "rollouts/turns": sum(one.num_turns for one in rollouts) / number,
        "rollouts/forks": sum(one.num_forks for one in rollouts) / number,
        "rollouts/dropped_turns": sum(len(one.dropped_turns) for one in rollouts) / number,
        "rollouts/multi_turn": sum(one.mode != "single_turn" for one in rollouts) / number,
        "rollouts/staleness/mean": sum(one.staleness for one in rollouts) / number,
        "rollouts/staleness/max": float(max(one.staleness for one in rollouts)),
        **{f"rollouts/fallback/{step}": float(steps[step]) for step in (*STEPS_DOWN, MASKED)},
        "rollouts/first_attempt": float(steps[FIRST]),
    }


def _refuse_options_without_effect(options: RolloutOptions) -> None:
    default = RolloutOptions()
    given = {
        "num_batches_ahead": options.batches_ahead != default.batches_ahead,
        **{name: getattr(options, name) != getattr(default, name) for name in ("shape", "credit", "estimator")},
    }
    message = "has no effect in a `rollout_func`, which TRL lets return one sequence a rollout; use `GymGRPOTrainer`"
    problems = [ConfigProblem("trainer options", name, message) for name, is_given in given.items() if is_given]
    if problems:
        raise ConfigError(problems)


def _reward(result: dict[str, Any]) -> float | None:
    return None if FAILURE_CLASS in result else float(result["reward"])


def _rewarded(sequence: TokenSequence, result: dict[str, Any]) -> TokenSequence:
    return dataclasses.replace(sequence, turn_rewards=[_reward(result) or 0.0 for _ in sequence.turn_rewards])
