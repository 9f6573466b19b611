"""One of several training processes: `torchrun --nproc-per-node=2 -m tests.with_trainers.trl_process POLICY HEAD_URL`.

Rows alternate, so that one process plays all of its rows and the other generates all of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nemo_gym.training.rollouts import RunningGym
from nemo_gym.training.trl import verify_reward_func
from nemo_gym.training.weights import TorchModelWeights
from tests.with_trainers.gyms import LAKE, MATH, rows_of
from tests.with_trainers.trl_trainers import letters, logged, trainer_for


def main(policy: Path, head: str) -> None:
    rows = [row for pair in zip(rows_of(LAKE), rows_of(MATH), strict=True) for row in pair]
    for row in rows:
        row["responses_create_params"]["max_output_tokens"] = 12
    with RunningGym.attach(head) as gym:
        trainer = trainer_for(
            policy / "out",
            rows,
            gym,
            model=str(policy),
            reward_funcs=[verify_reward_func(gym), letters],
            weights=TorchModelWeights(gym.url_of("policy_model")),
            max_steps=3,
            learning_rate=1e-2,
            max_completion_length=64,
            shuffle_dataset=False,
        )
        trainer.train()
    told = {
        "rank": trainer.accelerator.process_index,
        "modes": [rollouts[0].mode for rollouts in trainer.generations],
        "differences": logged(trainer, "sampling/sampling_logp_difference/max"),
        "weights": sum(parameter.double().abs().sum().item() for parameter in trainer.model.parameters()),
    }
    (policy / f"rank{told['rank']}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
