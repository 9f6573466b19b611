"""Writes numbers to guess.

python resources_servers/step_environment/prepare.py --num-rows 100 --seed 0 --output train.jsonl
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from nemo_gym.prepare import run_prepare

EXAMPLE = Path(__file__).parent / "data" / "example.jsonl"
RANGE = 100
"""Seven guesses find any of so many numbers."""


def make_row(rng: random.Random, index: int) -> dict[str, Any]:
    lowest = rng.randint(0, 100_000)
    text = (
        f"I think of a whole number from {lowest} to {lowest + RANGE - 1}. Say one number a turn; "
        "I tell you whether mine is higher or lower. You have 7 turns."
    )
    return {
        "id": f"higher-lower-{index}",
        "responses_create_params": {"input": [{"role": "user", "content": text}]},
        "ground_truth": lowest + rng.randrange(RANGE),
    }


if __name__ == "__main__":
    print(run_prepare(make_row, EXAMPLE))
