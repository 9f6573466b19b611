"""frozen_lake as the demo trains it: all small lakes, some of them held out, and somebody who often steps astray."""

from __future__ import annotations

import random
from collections import deque
from itertools import product
from typing import Any

from nemo_gym.prepare import TaskRow
from nemo_gym.reference_policies import PolicyTurn
from nemo_gym.training.demo.task import DemoTask, Rows

HEIGHT, WIDTH = 3, 4
NUM_HELD_OUT = 58
NUM_TRAIN = 1500
MAX_TURNS, MOVES_PER_TURN = 4, 2

ASTRAY = 0.5
"""How often a move is any, in place of one on a shortest way."""

MOVES = {"Left": (0, -1), "Down": (1, 0), "Right": (0, 1), "Up": (-1, 0)}
RULES = "Cross the lake to G. P is you, O is a hole. Say 2 moves a turn: <answer>Right || Down</answer>"

Cell = tuple[int, int]


def make_rows(seed: int) -> Rows:
    """Each lake is either trained or held out; those that are trained come up again and again."""
    lakes = all_lakes()
    random.Random(f"lakes/{seed}").shuffle(lakes)
    held_out, trained = lakes[:NUM_HELD_OUT], lakes[NUM_HELD_OUT:]
    rng = random.Random(f"rows/{seed}")
    return Rows(
        train=[_row(rng.choice(trained), f"lake-{index}") for index in range(NUM_TRAIN)],
        held_out=[_row(lake, f"held-out-{index}") for index, lake in enumerate(held_out)] * 2,
    )


def all_lakes() -> list[list[str]]:
    """Every lake of this size that has a hole and a way across."""
    lakes = []
    for cells in product("FH", repeat=HEIGHT * WIDTH - 2):
        text = "S" + "".join(cells) + "G"
        lake = [text[start : start + WIDTH] for start in range(0, len(text), WIDTH)]
        if "H" in text and next_move([line.replace("S", "P").replace("H", "O") for line in lake]) is not None:
            lakes.append(lake)
    return lakes


def demonstrate(turn: PolicyTurn) -> str:
    """Two moves; each is on a shortest way, or any."""
    seen = _seen(turn.input[-1])
    moves = []
    for _ in range(MOVES_PER_TURN):
        best = next_move(seen)
        if best is None:
            break
        moves.append(turn.rng.choice([*MOVES]) if turn.rng.random() < ASTRAY else best)
        seen = _after(seen, moves[-1])
    return f"<answer>{' || '.join(moves)}</answer>"


def next_move(seen: list[str]) -> str | None:
    """The first move of a shortest way from P to G around each O; None where there is none, or P is there."""
    cells = {(row, column): cell for row, line in enumerate(seen) for column, cell in enumerate(line)}
    start = next((cell for cell, what in cells.items() if what == "P"), None)
    if start is None:
        return None
    first: dict[Cell, str] = {start: ""}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        if cells[here] == "G":
            return first[here]
        for move, (down, right) in MOVES.items():
            there = here[0] + down, here[1] + right
            if there not in first and cells.get(there, "O") != "O":
                first[there] = first[here] or move
                queue.append(there)
    return None


def _after(seen: list[str], move: str) -> list[str]:
    """The lake after a move; without P where the game is over."""
    [(row, column)] = [(row, line.index("P")) for row, line in enumerate(seen) if "P" in line]
    there = row + MOVES[move][0], column + MOVES[move][1]
    if not (0 <= there[0] < len(seen) and 0 <= there[1] < len(seen[0])):
        return seen
    cells = [[*line.replace("P", "_")] for line in seen]
    if cells[there[0]][there[1]] == "_":
        cells[there[0]][there[1]] = "P"
    return ["".join(line) for line in cells]


def _seen(item: dict[str, Any]) -> list[str]:
    """The lake in an observation: its first lines, without blanks."""
    content = item["content"]
    text = content if isinstance(content, str) else "".join(part["text"] for part in content)
    return [line.replace(" ", "") for line in text.splitlines()[:HEIGHT]]


def _row(lake: list[str], name: str) -> TaskRow:
    drawn = "\n".join(" ".join(line) for line in lake).translate(str.maketrans("SFH", "P_O"))
    left = f"Turns left: {MAX_TURNS}. Moves left: {MAX_TURNS * MOVES_PER_TURN}."
    messages = [{"role": "system", "content": RULES}, {"role": "user", "content": f"{drawn}\n{left}"}]
    return {"id": name, "responses_create_params": {"input": messages}, "board": lake, "max_turns": MAX_TURNS}


LAKES = DemoTask(
    name="frozen_lake",
    config_path="resources_servers/frozen_lake/configs/frozen_lake.yaml",
    agent="frozen_lake_simple_agent",
    make_rows=make_rows,
    demonstrate=demonstrate,
    settings={"max_actions_per_turn": MOVES_PER_TURN, "max_episode_length": MAX_TURNS * MOVES_PER_TURN},
    num_layers=3,
    learning_rate=6e-4,
    steps=80,
)
