"""GymGRPOTrainer: TRL's `GRPOTrainer` that has agents of a gym play rows of several turns, and leaves others alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import torch
from datasets import Dataset, IterableDataset
from trl import GRPOConfig, GRPOTrainer

from nemo_gym.errors import ConfigError, ConfigProblem
from nemo_gym.rollouts.rows import TaskRow
from nemo_gym.training.rollouts import RunningGym
from nemo_gym.training.trl.ahead import BatchesAhead
from nemo_gym.training.trl.crediting import Crediting, only_longest
from nemo_gym.training.trl.detection import Detector, Kind
from nemo_gym.training.trl.env import Env, open_env
from nemo_gym.training.trl.gym_rollouts import GymRollouts, columns_of, output_of
from nemo_gym.training.trl.ladder import Played, finished
from nemo_gym.training.trl.options import RolloutOptions
from nemo_gym.training.trl.own_generation import eos_id_of, generate
from nemo_gym.training.trl.prompts import Prompt, carrying, dataset_of, without_task_row
from nemo_gym.training.trl.rewards import verify_reward_func
from nemo_gym.training.trl.rollout import TRLRollout, masked_sequence, own_rollout, sampled_sequence
from nemo_gym.training.trl.tensors import Tensors
from nemo_gym.training.weights import PolicyWeights

logger = logging.getLogger(__name__)


class GymGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """A `GRPOTrainer` in all else: without a gym, and for rows of a single turn, it does the same to the last bit."""

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: GRPOConfig | None = None,
        train_dataset: Dataset | IterableDataset | Sequence[TaskRow] | None = None,
        eval_dataset: Dataset | IterableDataset | Sequence[TaskRow] | Mapping[str, Dataset] | None = None,
        *more: Any,
        env: Env | None = None,
        gym: RunningGym | Sequence[RunningGym] | None = None,
        weights: PolicyWeights | None = None,
        **named: Any,
    ) -> None:
        """All arguments of `GRPOTrainer`, with `GymGRPOConfig` as `args` where rollouts need options, and:

        `env`: name of an agent or resources server; or a YAML file or mapping (`config_paths`) to start servers from.
        `gym`: where a named one runs, by default the run in this folder; of several the others are replicas of the
        first. `weights` get the trainer's before each batch of rollouts in which they have changed.

        `train_dataset` and `eval_dataset` may be task rows; to train on are by default those of the environment.
        `reward_funcs` is by default the reward that rollouts bring, and `/verify` of what the trainer generates itself.
        """
        _refuse_other_rollouts(named, has_gym=env is not None or gym is not None)
        self.options = args if isinstance(args, RolloutOptions) else RolloutOptions()
        self.opened = open_env(env, gym)
        self._detector: Detector | None = None
        self._gym_rollouts: GymRollouts | None = None
        self._ahead = BatchesAhead(self.options.batches_ahead, self._begin)
        self._rollouts: list[TRLRollout] | None = None
        self._rewards_per_func: torch.Tensor | None = None
        self._latest_log_probs: torch.Tensor | None = None
        try:
            if self.opened.gyms:
                reward_funcs = self._with_gym(self.opened.gyms, reward_funcs, weights)
                train_dataset = self._environments_rows() if train_dataset is None else train_dataset
            datasets = self._dataset(train_dataset), self._dataset(eval_dataset)
            super().__init__(model, reward_funcs, args, *datasets, *more, **named)
            self._crediting = Crediting(self, self.options)
            if self.options.batches_ahead and not hasattr(self.train_dataset, "__len__"):
                message = "batches ahead need a dataset of known length, not a stream; set it to 0"
                raise ConfigError([ConfigProblem("trainer options", "num_batches_ahead", message)])
        except BaseException:
            self.opened.close()
            raise

    def _with_gym(self, gyms: Sequence[RunningGym], reward_funcs: Any, weights: PolicyWeights | None) -> Any:
        """The reward functions, with what the gym needs made ready."""
        agent, options = self.opened.agent, self.options
        self._detector = Detector(gyms[0], agent=agent, multi_turn=options.multi_turn)
        self._gym_rollouts = GymRollouts(gyms, agent=agent, options=options, weights=weights)
        return reward_funcs or verify_reward_func(gyms[0], agent=agent, max_lost_batches=options.max_lost_batches)

    def is_multi_turn_environment(self, env: str | None = None) -> bool:
        """Whether an agent or resources server (default: the trainer's own) is one of several turns: it talks back, or
        its example rows declare tools. Each row is looked at by itself when it is generated.
        """
        return self._detector is not None and self._detector.offers_turns(env)

    def close(self) -> None:
        """End rollouts under way, and the servers that this trainer started."""
        self._ahead.cancel()
        self.opened.close()

    # What TRL calls

    def train(self, *arguments: Any, **named: Any) -> Any:
        try:
            return super().train(*arguments, **named)
        finally:
            self._ahead.cancel()

    def training_step(self, *arguments: Any, **named: Any) -> torch.Tensor:
        self._ahead.raise_errors()
        return super().training_step(*arguments, **named)

    def _generate(self, prompts: list[Prompt]) -> Any:
        source = self._gym_rollouts
        if source is None:
            return super()._generate(prompts)
        kinds = self._kinds_of(prompts)
        if not self._in_any_process(any(kind.is_played for kind in kinds)):
            if self.options.batches_ahead and self.model.training:
                source.published.begin_batch(self)
                self._ahead.take(self, prompts, source.published.batch)
            self._log_kinds(kinds)
            return super()._generate([without_task_row(prompt) for prompt in prompts])
        self.rollout_func: Any = partial(self._roll_out, source, kinds)
        try:
            return super()._generate(prompts)
        finally:
            self.rollout_func = None

    def _calculate_rewards(self, *arguments: Any, **named: Any) -> torch.Tensor:
        self._rewards_per_func = super()._calculate_rewards(*arguments, **named)
        return self._rewards_per_func

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Tensors:
        self._rollouts = None
        output: Tensors = super()._generate_and_score_completions(inputs)
        if not self.model.training:
            return output
        rollouts, own_advantage = self._rollouts, self.options.is_trainers_own_advantage
        if rollouts is None:
            if own_advantage:
                return output
            rollouts = self._native_rollouts(output)
        if self.use_vllm:  # its importance ratios are there for one sequence a rollout
            rollouts = [only_longest(one) for one in rollouts]
        return self._crediting.credited(self, output, rollouts, self._totals(len(rollouts)))

    def _get_per_token_logps_and_entropies(self, *arguments: Any, **named: Any) -> Any:
        answer = super()._get_per_token_logps_and_entropies(*arguments, **named)
        self._latest_log_probs = answer[0].detach()
        return answer

    def _compute_loss(self, model: Any, inputs: Tensors) -> torch.Tensor:
        loss: torch.Tensor = super()._compute_loss(model, inputs)
        if "sampling_per_token_logps" in inputs and not self.use_vllm:
            self._record_mismatch(inputs)
        return loss

    # Rollouts

    def _environments_rows(self) -> list[TaskRow] | None:
        agent = self.opened.agent
        return None if agent is None else self.opened.gyms[0].rows_of(agent, "train", "example")

    def _dataset(self, given: Any) -> Any:
        if isinstance(given, Mapping):
            return {name: self._dataset(one) for name, one in given.items()}
        if isinstance(given, list | tuple):
            return dataset_of(given, agent=self.opened.agent)
        return carrying(given) if self.opened.gyms else given

    def _kinds_of(self, prompts: Sequence[Prompt]) -> list[Kind]:
        assert self._detector is not None
        return self._detector.kinds_of(prompts)

    def _in_any_process(self, is_so: bool) -> bool:
        """Whether it is so in one of the training processes: what they do together they have to do alike."""
        if self.accelerator.num_processes == 1:
            return is_so
        return bool(self.accelerator.gather(torch.tensor([int(is_so)], device=self.accelerator.device)).any())

    def _begin(self, prompts: Sequence[Prompt]) -> Future[list[Played]] | None:
        kinds = self._kinds_of(prompts)
        played = [prompt for prompt, kind in zip(prompts, kinds, strict=True) if kind.is_played]
        if not played or self._gym_rollouts is None:
            return None
        return self._gym_rollouts.submit(self._gym_rollouts.rows_of(played, self))

    def _roll_out(
        self, source: GymRollouts, kinds: Sequence[Kind], prompts: list[Prompt], _: GRPOTrainer
    ) -> dict[str, Any]:
        """TRL's `rollout_func` of this batch: rows of several turns are played, the others generated natively."""
        played = [index for index, kind in enumerate(kinds) if kind.is_played]
        of_played = [prompts[index] for index in played]
        rows = source.rows_of(of_played, self)
        source.published.begin_batch(self)
        if self.model.training:
            begun = self._ahead.take(self, prompts, source.published.batch)
            results, begun_in = self._ahead.result(begun), begun.batch
        else:
            results, begun_in = finished(source.submit(rows)), source.published.batch
        rollouts = dict(zip(played, source.finish(self, of_played, rows, results, begun_in), strict=True))
        native = [index for index in range(len(prompts)) if index not in rollouts]
        if native:
            sequences = generate(self, [prompts[index] for index in native])
            for index, sequence in zip(native, sequences, strict=True):
                rollouts[index] = own_rollout(sequence, mode_reason=kinds[index].reason, step=None)
        self._rollouts = [rollouts[index] for index in range(len(prompts))]
        source.log(self, self._rollouts)
        return output_of(self._rollouts)

    def _native_rollouts(self, output: Tensors) -> list[TRLRollout]:
        """What TRL generated by itself, as rollouts of one turn."""
        mask = output["completion_mask"].bool()
        pairs = zip(output["prompt_ids"], output["prompt_mask"].bool(), output["completion_ids"], mask, strict=True)
        eos_id = eos_id_of(self)
        sequences = [
            sampled_sequence(prompt[kept].tolist(), completion[sampled].tolist(), None, eos_id)
            for prompt, kept, completion, sampled in pairs
        ]
        return [own_rollout(one, mode_reason="the trainer's own generation", step=None) for one in sequences]

    def _totals(self, number: int) -> list[float | None]:
        """Of each rollout of this process the weighted sum of its rewards; None where no function gave one."""
        assert self._rewards_per_func is not None
        first = self.accelerator.process_index * number
        mine = self._rewards_per_func[first : first + number]
        sums = (mine * self.reward_weights.to(mine.device)).nansum(dim=1).tolist()
        unscored = mine.isnan().all(dim=1).tolist()
        return [None if missing else total for total, missing in zip(sums, unscored, strict=True)]

    def _log_kinds(self, kinds: Sequence[Kind]) -> None:
        """The columns that played rows have, so that those of a table are of one length."""
        # Nothing is generated yet: a sequence that holds nothing stands for it.
        not_yet = masked_sequence([], eos_id_of(self))
        generated = [own_rollout(not_yet, mode_reason=kind.reason, step=None) for kind in kinds]
        for column, values in columns_of(generated).items():
            self._log_completion_extra(column, values)

    def _record_mismatch(self, inputs: Tensors) -> None:
        """|trainer − server| of the log-probabilities of trained tokens, as the weights are now."""
        assert self._latest_log_probs is not None
        recorded = inputs["sampling_per_token_logps"]
        mask = inputs["completion_mask"].bool() & ~recorded.isnan()
        mask = mask & inputs["tool_mask"].bool() if "tool_mask" in inputs else mask
        difference = (self._latest_log_probs - recorded).abs()[mask]
        some = difference if difference.numel() else torch.zeros(1, device=recorded.device)
        metrics = self._metrics["train" if self.model.training else "eval"]
        mean, most = self.accelerator.gather(some.mean()).mean(), self.accelerator.gather(some.max()).max()
        metrics["sampling/sampling_logp_difference/mean"].append(mean.item())
        metrics["sampling/sampling_logp_difference/max"].append(most.item())


def _refuse_other_rollouts(named: Mapping[str, Any], *, has_gym: bool) -> None:
    given = [name for name in ("rollout_func", "environment_factory", "tools") if named.get(name)]
    if given and has_gym:
        message = "the gym's agents make the rollouts; leave it out, or give neither `env` nor `gym`"
        raise ConfigError([ConfigProblem("GymGRPOTrainer", name, message) for name in given])
