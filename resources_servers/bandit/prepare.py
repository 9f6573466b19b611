"""Writes bandits: a steady arm and a risky one, or several, to be pulled once or several times.

python resources_servers/bandit/prepare.py --num-rows 100 --seed 0 --output train.jsonl
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from nemo_gym.prepare import TaskRow, run_prepare

EXAMPLE = Path(__file__).parent / "data" / "example.jsonl"
NAMES = ("Phoenix", "Dragon", "Griffin", "Kraken", "Unicorn", "Sphinx")


def make_row(rng: random.Random, index: int) -> TaskRow:
    names = rng.sample(NAMES, rng.choice((2, 2, 3)))
    arms = [_steady(rng, names[0]), *(_risky(rng, name) for name in names[1:])]
    rng.shuffle(arms)
    num_pulls = rng.choice((1, 3, 5))
    odds = "\n".join(f"- {arm['name']}: {_odds(arm)}" for arm in arms)
    pulls = f"{num_pulls} pulls" if num_pulls > 1 else "1 pull"
    text = (
        f"Casino {index + 1}. Each arm pays at random:\n{odds}\nYou have {pulls}, one a turn. "
        f"Pull what pays best on average, as <answer>{arms[0]['name']}</answer> for the first one."
    )
    return {
        "id": f"bandit-{index}",
        "responses_create_params": {"input": [{"role": "user", "content": text}]},
        "arms": arms,
        "num_pulls": num_pulls,
        "seed": rng.randrange(2**31),
    }


def _steady(rng: random.Random, name: str) -> dict[str, Any]:
    middle = rng.randint(20, 60)
    return {"name": name, "payouts": [middle - 5, middle, middle + 5], "weights": [1, 2, 1]}


def _risky(rng: random.Random, name: str) -> dict[str, Any]:
    return {"name": name, "payouts": [0, rng.randint(80, 200)], "weights": [rng.randint(1, 4), 1]}


def _odds(arm: dict[str, Any]) -> str:
    total = sum(arm["weights"])
    pairs = zip(arm["payouts"], arm["weights"], strict=True)
    return ", ".join(f"{payout} in {weight} of {total} pulls" for payout, weight in pairs)


if __name__ == "__main__":
    print(run_prepare(make_row, EXAMPLE))
