"""Live progress: a line for each step, while the trainer works."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from nemo_gym.training.demo.record import StepRecord, TrainingRecord


class Progress(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Keeps the record and prints it."""

    def __init__(self, record: TrainingRecord, console: Console) -> None:
        self._record, self._console = record, console
        self._began = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if logs and "reward" in logs:
            self._console.print(self._line(self._record.add_step(state.global_step, logs)), highlight=False)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        reward = float((metrics or {})["eval_reward"])
        self._record.held_out[state.global_step] = reward
        self._record.start_clock()
        self._console.print(f"{'':>14}held-out reward [bold]{reward:.3f}[/bold]", highlight=False)

    def _line(self, step: StepRecord) -> str:
        seconds = time.monotonic() - self._began
        failed = f"  [red]{step.failed} failed[/red]" if step.failed else ""
        return (
            f"step {step.step:>3}/{self._record.num_steps}  reward {step.reward:6.3f}  log-prob mismatch "
            f"{step.mismatch_max:.0e}  {step.tokens_per_s:>6,.0f} tokens/s  {seconds:>4.0f} s{failed}"
        )
