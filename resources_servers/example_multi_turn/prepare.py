"""Writes shopping conversations of three turns: two purchases, then one more or something given back.

python resources_servers/example_multi_turn/prepare.py --num-rows 100 --seed 0 --output train.jsonl
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from nemo_gym.prepare import run_prepare

EXAMPLE = Path(__file__).parent / "data" / "example.jsonl"

SYSTEM_PROMPT = (
    "The user names what was bought, and what was given back, one thing a message. Answer each message with the total "
    "so far, as `Total: <whole number>`."
)
THINGS = ("apples", "bread", "candles", "cheese", "a lemon", "milk", "a pen", "rice", "soap", "stamps", "tea", "thread")


def make_row(rng: random.Random, index: int) -> dict[str, Any]:
    first, second, third = rng.sample(THINGS, 3)
    one, two = rng.randint(1, 9), rng.randint(1, 9)
    if rng.random() < 0.5:
        last, end = rng.randint(1, 9), f"One more thing: {third}, for {{}}."
        total = one + two + last
    else:
        last, end = rng.randint(1, two), f"I gave back {second}, and got {{}} for it."
        total = one + two - last
    bought = f"And {second}, for {two}."
    return {
        "id": f"running-total-{index}",
        "responses_create_params": {
            "input": [
                {"role": "system", "content": SYSTEM_PROMPT},
                {"role": "user", "content": f"Day {index + 1}. I bought {first} for {one}."},
            ]
        },
        "user_turns": [
            {"say": bought, "when_contains": "total:", "else": f"Please write `Total:` before it. {bought}"},
            end.format(last),
        ],
        "totals": [one, one + two, total],
    }


if __name__ == "__main__":
    print(run_prepare(make_row, EXAMPLE))
