"""Writes requests to change a counter a few times and to read it.

python resources_servers/example_session_state_mgmt/prepare.py --num-rows 100 --seed 0 --output train.jsonl
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from nemo_gym.prepare import run_prepare

EXAMPLE = Path(__file__).parent / "data" / "example.jsonl"

INCREMENT_COUNTER = {
    "type": "function",
    "name": "increment_counter",
    "description": "Adds a number to the counter; a negative one takes away.",
    "parameters": {
        "type": "object",
        "properties": {"count": {"type": "integer", "description": "How much to add."}},
        "required": ["count"],
        "additionalProperties": False,
    },
    "strict": True,
}
GET_COUNTER_VALUE = {
    "type": "function",
    "name": "get_counter_value",
    "description": "The counter's value.",
    "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    "strict": True,
}


def make_row(rng: random.Random, index: int) -> dict[str, Any]:
    initial = rng.randint(0, 50)
    numbers = [rng.choice([-1, 1, 1]) * rng.randint(1, 30) for _ in range(rng.randint(2, 4))]
    request = ", then ".join(f"add {number}" for number in numbers)
    return {
        "id": f"counter-{index}",
        "responses_create_params": {
            "input": [{"role": "user", "content": f"{request.capitalize()}, and tell me what the counter says."}],
            "tools": [INCREMENT_COUNTER, GET_COUNTER_VALUE],
        },
        "initial_count": initial,
        "expected_count": initial + sum(numbers),
    }


if __name__ == "__main__":
    print(run_prepare(make_row, EXAMPLE))
