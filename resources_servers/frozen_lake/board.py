"""The board of frozen_lake as text, its shortest paths, and boards made from a seed. Standard library only."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from enum import StrEnum

ACTIONS = ("Left", "Down", "Right", "Up")
"""In Gymnasium's order: action 0 is Left."""
MOVES = {"Left": (0, -1), "Down": (1, 0), "Right": (0, 1), "Up": (-1, 0)}

START, FROZEN, HOLE, GOAL = "S", "F", "H", "G"


class Layout(StrEnum):
    """How a board is drawn."""

    GYMNASIUM = "gymnasium"
    """The board's own letters, S F H G, the player in brackets: `[S]FFF`."""
    RAGEN = "ragen"
    """P the player, _ frozen, O hole, G goal; X the player in a hole, √ at the goal."""


class Observation(StrEnum):
    """What an observation shows."""

    GRID = "grid"
    COORDINATES = "coordinates"
    BOTH = "both"


def draw(board: Sequence[str], position: int, layout: Layout) -> str:
    """The board with the player at `position`, counted row by row from the upper left corner."""
    width = len(board[0])
    lines = []
    for row, line in enumerate(board):
        cells = [_cell(cell, row * width + column == position, layout) for column, cell in enumerate(line)]
        lines.append((" " if layout is Layout.RAGEN else "").join(cells))
    return "\n".join(lines)


def _cell(cell: str, has_player: bool, layout: Layout) -> str:
    if layout is Layout.GYMNASIUM:
        return f"[{cell}]" if has_player else cell
    if has_player:
        return {HOLE: "X", GOAL: "√"}.get(cell, "P")
    return {HOLE: "O", GOAL: "G"}.get(cell, "_")


def coordinates(board: Sequence[str], position: int) -> str:
    """Where the player is and, to be complete, goal and holes: (row, column), from 0."""
    width = len(board[0])
    holes = [(row, column) for row, line in enumerate(board) for column, cell in enumerate(line) if cell == HOLE]
    [goal] = [(row, column) for row, line in enumerate(board) for column, cell in enumerate(line) if cell == GOAL]
    listed = ", ".join(map(str, holes)) or "none"
    return f"You are at {divmod(position, width)}, the goal at {goal}, holes at: {listed} (row, column)."


def describe(board: Sequence[str], position: int, layout: Layout, observation: Observation) -> str:
    """What the policy is shown."""
    parts = []
    if observation is not Observation.COORDINATES:
        parts.append(draw(board, position, layout))
    if observation is not Observation.GRID:
        parts.append(coordinates(board, position))
    return "\n".join(parts)


def shortest_path(board: Sequence[str], position: int = 0) -> list[str] | None:
    """Actions from `position` to the goal without slipping, as few as possible; None where there is no way."""
    height, width = len(board), len(board[0])
    came_from: dict[int, tuple[int, str]] = {}
    queue = deque([position])
    while queue:
        here = queue.popleft()
        row, column = divmod(here, width)
        if board[row][column] == GOAL:
            path: list[str] = []
            while here != position:
                here, action = came_from[here]
                path.append(action)
            return path[::-1]
        for action, (down, right) in MOVES.items():
            new_row, new_column = row + down, column + right
            there = new_row * width + new_column
            inside = 0 <= new_row < height and 0 <= new_column < width
            if inside and board[new_row][new_column] != HOLE and there not in came_from and there != position:
                came_from[there] = (here, action)
                queue.append(there)
    return None


def make_board(rng: random.Random, size: int, share_frozen: float = 0.8) -> list[str]:
    """A board with a way from its upper left corner to the lower right one."""
    while True:
        cells = [FROZEN if rng.random() < share_frozen else HOLE for _ in range(size * size)]
        cells[0], cells[-1] = START, GOAL
        board = ["".join(cells[start : start + size]) for start in range(0, size * size, size)]
        if shortest_path(board) is not None:
            return board
