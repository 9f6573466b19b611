"""Writes requests to open a door whose code has to be looked up.

python resources_servers/code_lookup/prepare.py --num-rows 100 --seed 0 --output train.jsonl
"""

from __future__ import annotations

import random
from pathlib import Path

from nemo_gym.prepare import TaskRow, run_prepare

EXAMPLE = Path(__file__).parent / "data" / "example.jsonl"

DOORS = (
    *("amber", "azure", "beige", "black", "blue", "brown", "coral", "crimson", "gold", "green", "grey", "indigo"),
    *("ivory", "jade", "lime", "maroon", "olive", "orange", "pink", "purple", "red", "silver", "teal", "white"),
)
NUM_DIGITS = 3

INSTRUCTION = "Each door has a code of its own. Get it with get_code, then answer with it: Code: 123"
GET_CODE = {
    "type": "function",
    "name": "get_code",
    "description": "Today's code of one door.",
    "parameters": {
        "type": "object",
        "properties": {"door": {"type": "string", "description": "The door's colour."}},
        "required": ["door"],
        "additionalProperties": False,
    },
    "strict": True,
}


def make_row(rng: random.Random, index: int) -> TaskRow:
    codes = {door: "".join(rng.choices("0123456789", k=NUM_DIGITS)) for door in DOORS}
    door = rng.choice(DOORS)
    return {
        "id": f"door-{index}",
        "responses_create_params": {
            "input": [
                {"role": "system", "content": INSTRUCTION},
                {"role": "user", "content": f'Open the door "{door}".'},
            ],
            "tools": [GET_CODE],
            "parallel_tool_calls": False,
        },
        "codes": codes,
        "door": door,
        "expected_code": codes[door],
    }


if __name__ == "__main__":
    print(run_prepare(make_row, EXAMPLE))
