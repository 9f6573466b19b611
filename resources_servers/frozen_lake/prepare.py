"""Writes frozen lakes, each with a way across.

python resources_servers/frozen_lake/prepare.py --num-rows 100 --seed 0 --output train.jsonl
"""

from __future__ import annotations

import random
from pathlib import Path

from nemo_gym.prepare import TaskRow, run_prepare
from resources_servers.frozen_lake.board import Layout, Observation, describe, make_board

EXAMPLE = Path(__file__).parent / "data" / "example.jsonl"
SIZES = (4, 4, 4, 5, 6)

RULES = """\
Cross the frozen lake to the goal without falling into a hole. P is you, _ is ice, O is a hole, G is the goal; the
borders stop you. Moves are Left, Down, Right and Up, up to 5 a turn, 50 in all, in 10 turns. Answer each turn with your
moves: <answer>Right || Down</answer>"""


def make_row(rng: random.Random, index: int) -> TaskRow:
    board = make_board(rng, rng.choice(SIZES))
    shown = describe(board, 0, Layout.RAGEN, Observation.GRID)
    return {
        "id": f"lake-{index}",
        "responses_create_params": {
            "input": [
                {"role": "system", "content": RULES},
                {"role": "user", "content": f"Lake {index + 1}:\n{shown}\nTurns left: 10. Moves left: 50."},
            ]
        },
        "board": board,
        "is_slippery": False,
        "seed": rng.randrange(2**31),
    }


if __name__ == "__main__":
    print(run_prepare(make_row, EXAMPLE))
