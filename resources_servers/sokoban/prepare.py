"""Writes levels of Sokoban, each with a solution.

python resources_servers/sokoban/prepare.py --num-rows 100 --seed 0 --output train.jsonl
"""

from __future__ import annotations

import random
from pathlib import Path

from nemo_gym.prepare import TaskRow, run_prepare
from resources_servers.sokoban.level import make_level, solution

EXAMPLE = Path(__file__).parent / "data" / "example.jsonl"
MOST_MOVES = 25
"""Longer solutions are left out: half of the moves that an episode has."""

RULES = """\
Push every box onto a target. # is a wall, _ floor, O a target, X a box, √ a box on a target, P is you, S is you on one.
You push a box by moving against it, if the cell behind it is free; you cannot pull. Moves are Up, Down, Left and Right,
up to 5 a turn, 50 in all, in 10 turns. Answer each turn with your moves: <answer>Right || Down</answer>"""


def make_row(rng: random.Random, index: int) -> TaskRow:
    num_boxes = 2 if rng.random() < 0.2 else 1
    while True:
        level = make_level(rng, num_boxes=num_boxes)
        if len(solution(level) or ()) <= MOST_MOVES:
            break
    drawn = level.draw()
    shown = "\n".join(drawn)
    return {
        "id": f"sokoban-{index}",
        "responses_create_params": {
            "input": [
                {"role": "system", "content": RULES},
                {"role": "user", "content": f"Level {index + 1}:\n{shown}\nTurns left: 10. Moves left: 50."},
            ]
        },
        "level": drawn,
    }


if __name__ == "__main__":
    print(run_prepare(make_row, EXAMPLE))
