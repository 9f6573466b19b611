"""The whole demo: model, warm-up, servers, GRPO, and what came of it."""

from __future__ import annotations

import logging
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from transformers.trainer_callback import PrinterCallback

from nemo_gym.training.demo.curve import save_curve
from nemo_gym.training.demo.doors import DOORS
from nemo_gym.training.demo.lakes import LAKES
from nemo_gym.training.demo.options import TrainDemoOptions
from nemo_gym.training.demo.policy_folder import WarmUp, make_policy_folder
from nemo_gym.training.demo.progress import Progress
from nemo_gym.training.demo.record import TrainingRecord
from nemo_gym.training.demo.results import Seconds, results_of, save_results
from nemo_gym.training.demo.servers import server_config
from nemo_gym.training.demo.task import DemoTask, Rows
from nemo_gym.training.demo.training import make_trainer
from nemo_gym.training.recipe import Recipe
from nemo_gym.training.rollouts import RunningGym

TASKS = {task.name: task for task in (DOORS, LAKES)}


def run_demo(options: TrainDemoOptions, console: Console) -> dict[str, Any]:
    """Train, and write `model/` (before), `trained/` (after), `results.json` and `curve.png` below the output folder.

    Returns what `results.json` holds. No server outlives it.
    """
    _quiet()
    torch.set_num_threads(1)  # tiny models: several times faster than with two
    began = time.monotonic()
    task, recipe = TASKS[options.environment], Recipe.read(options.recipe) if options.recipe else None
    rows = task.make_rows(options.seed)
    options.output_dir.mkdir(parents=True, exist_ok=True)
    folder = options.model or options.output_dir / "model"
    warm_up = None if options.model else _warm_up(folder, task, rows, options, console)
    warmed_up = time.monotonic()
    with RunningGym.start(server_config(task, folder, options, recipe)) as gym:
        running = time.monotonic()
        console.print(f"servers run: {', '.join(gym.client.directory)} ({running - warmed_up:.0f} s)", soft_wrap=True)
        record = _train(task, rows, folder, gym, options, recipe, console)
        trained = time.monotonic()
    seconds = Seconds(
        warm_up=warmed_up - began if warm_up else 0.0,
        servers=running - warmed_up,
        training=trained - running,
        total=time.monotonic() - began,
    )
    results = results_of(options, warm_up, record, seconds)
    save_results(options.output_dir / "results.json", results)
    title = f"{task.name}, {options.estimator}, {options.mode}, seed {options.seed}"
    demonstrated = warm_up.demonstrated_reward if warm_up else None
    save_curve(options.output_dir / "curve.png", record, title=title, demonstrated=demonstrated)
    _tell(results, options.output_dir, console)
    return results


def _warm_up(folder: Path, task: DemoTask, rows: Rows, options: TrainDemoOptions, console: Console) -> WarmUp:
    began = time.monotonic()
    with console.status("playing demonstrations") as status:
        result = make_policy_folder(
            folder,
            task,
            rows.train,
            options.seed,
            lambda step, loss: status.update(f"warm-up: step {step}, loss {loss:.3f}"),
        )
    console.print(
        f"model made: {result.num_parameters:,} parameters, {result.vocabulary_size} tokens; warmed up on "
        f"{result.num_demonstrations} demonstrations of reward {result.demonstrated_reward:.3f} "
        f"({time.monotonic() - began:.0f} s)",
        highlight=False,
        soft_wrap=True,
    )
    return result


def _train(
    task: DemoTask,
    rows: Rows,
    folder: Path,
    gym: RunningGym,
    options: TrainDemoOptions,
    recipe: Recipe | None,
    console: Console,
) -> TrainingRecord:
    trainer = make_trainer(task, rows, folder, gym, options, recipe)
    record = TrainingRecord(trainer.args.max_steps)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Progress(record, console))
    trainer.evaluate()
    trainer.train()
    if record.num_steps not in record.held_out:
        trainer.evaluate()
    trainer.save_model(str(options.output_dir / "trained"))
    return record


def _tell(results: dict[str, Any], folder: Path, console: Console) -> None:
    before, after = results["held_out_reward_before"], results["held_out_reward_after"]
    console.print(
        f"held-out reward [bold]{before:.3f} → {after:.3f}[/bold], log-prob mismatch at most "
        f"{results['log_prob_mismatch_max']:.1e}, {results['seconds']['total']:.0f} s in all; {folder}/curve.png, "
        f"{folder}/results.json, {folder}/trained",
        highlight=False,
        soft_wrap=True,
    )


def _quiet() -> None:
    """Only our own lines are shown; errors still are."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(trl|transformers|torch|accelerate|datasets)\b")
