"""Live progress: a curve in the terminal, a line for each step, while the trainer works."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from nemo_gym.training.demo.record import StepRecord, TrainingRecord

HEADER = "  step  reward                        log-prob mismatch  tokens/s      s"
BAR_WIDTH = 20
"""Characters of a bar of reward 1."""
EIGHTHS = " ▏▎▍▌▋▊▉"


class Progress(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Keeps the record and prints it. Lines fit into a terminal of 80 columns."""

    def __init__(self, record: TrainingRecord, console: Console) -> None:
        self._record, self._console = record, console
        self._began = time.monotonic()
        self._print(HEADER, "dim")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if logs and "reward" in logs:
            self._print(self._line(self._record.add_step(state.global_step, logs)))

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
        self._print(f"{state.global_step:>6}  {reward:6.3f}  {bar(reward)}  held out", "bold")

    def _line(self, step: StepRecord) -> str:
        seconds = time.monotonic() - self._began
        failed = f"  [red]{step.failed} failed[/red]" if step.failed else ""
        return (
            f"{step.step:>6}  {step.reward:6.3f}  {bar(step.reward)}  "
            f"{step.mismatch_max:>17.0e}  {step.tokens_per_s:>8,.0f}  {seconds:>5.0f}{failed}"
        )

    def _print(self, line: str, style: str = "") -> None:
        self._console.print(line, style=style, highlight=False, soft_wrap=True)


def bar(reward: float) -> str:
    """As long as the reward, in eighths of a character; empty below 0, full above 1."""
    eighths = round(min(1.0, max(0.0, reward)) * BAR_WIDTH * len(EIGHTHS))
    whole, rest = divmod(eighths, len(EIGHTHS))
    return ("█" * whole + EIGHTHS[rest].strip()).ljust(BAR_WIDTH)
