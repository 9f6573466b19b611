"""The trainer of the demo: TRL's GRPO over the running servers, with a KL penalty and a rising learning rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nemo_gym.prepare import TaskRow
from nemo_gym.training.demo.options import TrainDemoOptions
from nemo_gym.training.demo.servers import policy_weights
from nemo_gym.training.demo.task import DemoTask, Rows
from nemo_gym.training.recipe import Recipe
from nemo_gym.training.rollouts import RunningGym
from nemo_gym.training.trl import GymGRPOConfig, GymGRPOTrainer, config_of, dataset_of

TASKS_PER_STEP, ROLLOUTS_PER_TASK = 16, 8
STEPS_BETWEEN_EVALUATIONS = 10
MAX_COMPLETION_LENGTH = 256
"""Ids of a rollout after its first prompt."""

KL_PENALTY = 0.01
"""To the policy after warm-up. Without it one run in four fell back to no reward at all."""
RISE = 5
"""Steps in which the learning rate rises, so that Adam's first steps, which know no scale, are small."""


def make_trainer(
    task: DemoTask, rows: Rows, policy_folder: Path, gym: RunningGym, options: TrainDemoOptions, recipe: Recipe | None
) -> GymGRPOTrainer:
    """Raises `ConfigError` for options that do not go together."""
    config = _config(task, len(rows.held_out), options, recipe or Recipe())
    return GymGRPOTrainer(
        model=str(policy_folder),
        args=config,
        train_dataset=dataset_of(map(_limited(task), rows.train), agent=task.agent),
        eval_dataset=dataset_of(map(_limited(task), rows.held_out), agent=task.agent),
        env=task.agent,
        gym=gym,
        weights=policy_weights(gym, policy_folder, options),
    )


def _config(task: DemoTask, num_held_out: int, options: TrainDemoOptions, recipe: Recipe) -> GymGRPOConfig:
    rollouts_per_task = recipe.rollouts_per_task or ROLLOUTS_PER_TASK
    chosen: dict[str, Any] = {"num_batches_ahead": options.num_batches_ahead}
    if options.given("mode") or options.recipe is None:
        chosen["shape"] = options.mode
    if options.given("estimator") or options.recipe is None:
        chosen["estimator"] = options.estimator
        chosen["credit"] = "final" if options.estimator in ("grpo", "rloo") else "turn"
    return config_of(
        recipe,
        str(options.output_dir),
        **chosen,
        max_steps=options.steps or task.steps,
        num_generations=rollouts_per_task,
        num_generations_eval=1,
        per_device_train_batch_size=TASKS_PER_STEP * rollouts_per_task,
        per_device_eval_batch_size=num_held_out,
        max_completion_length=MAX_COMPLETION_LENGTH,
        learning_rate=options.learning_rate or task.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=RISE,
        beta=KL_PENALTY,
        adam_beta2=0.99,
        seed=options.seed,
        model_init_kwargs={"dtype": "float32"},
        eval_strategy="steps",
        eval_steps=STEPS_BETWEEN_EVALUATIONS,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=not torch.cuda.is_available(),
    )


def _limited(task: DemoTask) -> Any:
    def limited(row: TaskRow) -> TaskRow:
        params = {"max_output_tokens": task.max_output_tokens, **row["responses_create_params"]}
        return {**row, "responses_create_params": params}

    return limited
