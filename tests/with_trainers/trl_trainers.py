"""TRL trainers for tests, on a tiny model: they keep what their loss was computed on."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

import torch

from nemo_gym.training.trajectory import trajectory_of
from nemo_gym.training.trl import GymGRPOConfig, GymGRPOTrainer
from nemo_gym.training.trl.rollout import TRLRollout
from tests.with_trainers.tiny import tiny_model, tiny_tokenizer

torch.set_num_threads(1)

Json = dict[str, Any]

OWN = ("weights", "reward_funcs", "env", "model", "eval_dataset", "rollout_func")
"""Arguments of the trainer that are no options."""


def letters(completions: Any, **_: Any) -> list[float]:
    """A reward that differs between random answers."""
    return [len(set(str(one))) / 10 for one in completions]


class Recorded(GymGRPOTrainer):
    """Keeps the rollouts of each generation, and the tensors of each loss."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.generations: list[list[TRLRollout] | None] = []
        self.losses: list[tuple[Json, float]] = []
        super().__init__(*arguments, **named)

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        output = super()._generate_and_score_completions(inputs)
        self.generations.append(self._rollouts)
        return output

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        loss = super()._compute_loss(model, inputs)
        self.losses.append((inputs, loss.item()))
        return loss


def args_for(folder: Path, **options: Any) -> GymGRPOConfig:
    defaults: Json = {
        "per_device_train_batch_size": 4,
        "num_generations": 4,
        "max_steps": 2,
        "max_completion_length": 4000,
        "learning_rate": 1e-3,
        "beta": 0.0,
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": 3,
    }
    return GymGRPOConfig(str(folder), **{**defaults, **options})


def trainer_for(folder: Path, rows: Any, gym: Any, *, kind: Any = Recorded, **options: Any) -> Any:
    """A trainer on these rows; `OWN` go to it, the rest are options."""
    own = {name: options.pop(name) for name in OWN if name in options}
    model = own.pop("model", None) or tiny_model()
    return kind(
        model, args=args_for(folder, **options), train_dataset=rows, gym=gym, processing_class=tiny_tokenizer(), **own
    )


def logged(trainer: Any, name: str) -> list[float]:
    """A metric of each step."""
    return [line[name] for line in trainer.state.log_history if name in line]


def rows_in(inputs: Json) -> list[tuple[list[int], list[int], list[int]]]:
    """Of each row that a loss was computed on: prompt, completion, and 1 for each completion token that was trained."""
    masks = inputs["completion_mask"] * inputs["tool_mask"] if "tool_mask" in inputs else inputs["completion_mask"]
    found = []
    for row, mask in enumerate(masks):
        prompt = inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()].tolist()
        length = int(inputs["completion_mask"][row].sum())
        found.append((prompt, inputs["completion_ids"][row][:length].tolist(), mask[:length].tolist()))
    return found


def sampled_tokens(result: Json) -> list[int]:
    """Each token that the policy sampled in a rollout, in all that it saw then: one digest of both a token."""
    return [
        digest
        for call in trajectory_of(result, group_id="").calls
        for digest in _digests(call.ids.tolist())[len(call.prompt_ids) :]
    ]


def trained_tokens(rows: list[tuple[list[int], list[int], list[int]]]) -> list[int]:
    """Each token that is trained, after all that stands before it: digests as those of `sampled_tokens`."""
    return [
        digest
        for prompt, completion, mask in rows
        for digest, trained in zip(_digests([*prompt, *completion])[len(prompt) :], mask, strict=True)
        if trained
    ]


def _digests(ids: list[int]) -> list[int]:
    """Of each id with all ids before it."""
    return list(accumulate(ids, lambda before, token: hash((before, token)), initial=0))[1:]
