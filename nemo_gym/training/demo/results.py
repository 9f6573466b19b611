"""`results.json`: what a demo came to, in figures."""

from __future__ import annotations

import dataclasses
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nemo_gym.training.demo.options import TrainDemoOptions
from nemo_gym.training.demo.policy_folder import WarmUp
from nemo_gym.training.demo.record import TrainingRecord

PACKAGES = ("nemo-gym", "torch", "transformers", "trl")


@dataclasses.dataclass(frozen=True)
class Seconds:
    """Wall-clock of the parts of a run."""

    warm_up: float
    """Demonstrations, tokenizer and supervised training; 0 where the model was there."""
    servers: float
    training: float
    """Held-out evaluations included."""
    total: float


def results_of(
    options: TrainDemoOptions, warm_up: WarmUp | None, record: TrainingRecord, seconds: Seconds
) -> dict[str, Any]:
    """Everything that `results.json` holds."""
    return {
        "options": options.model_dump(mode="json"),
        "held_out_reward_before": record.before,
        "held_out_reward_after": record.after,
        "log_prob_mismatch_max": record.mismatch_max,
        "failed_rollouts": sum(one.failed for one in record.steps),
        "seconds": dataclasses.asdict(seconds),
        "warm_up": None if warm_up is None else dataclasses.asdict(warm_up),
        "held_out_reward": {str(step): reward for step, reward in record.held_out.items()},
        "steps": [dataclasses.asdict(one) for one in record.steps],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def save_results(path: Path, results: dict[str, Any]) -> None:
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
