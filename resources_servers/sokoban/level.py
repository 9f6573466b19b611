"""A level of Sokoban: its rules, its drawing, its shortest solution, and levels made backwards so that each has one."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

ACTIONS = ("Up", "Down", "Left", "Right")
MOVES = {"Up": (-1, 0), "Down": (1, 0), "Left": (0, -1), "Right": (0, 1)}
MAX_STATES = 200_000
"""A search for a solution gives up after so many."""

Cell = tuple[int, int]
"""(row, column), from 0."""

_BOX, _BOX_ON_TARGET, _PLAYER, _PLAYER_ON_TARGET, _TARGET, _FLOOR, _WALL = "X", "√", "P", "S", "O", "_", "#"


@dataclass(frozen=True)
class Level:
    """Where everything stands. Drawn with # wall, _ floor, O target, X box, √ box on target, P player, S player on
    target.
    """

    walls: frozenset[Cell]
    targets: frozenset[Cell]
    boxes: frozenset[Cell]
    player: Cell

    @classmethod
    def parse(cls, lines: Sequence[str]) -> Self:
        """The level that is drawn. Raises `ValueError` where it is none."""
        cells = {(row, column): sign for row, line in enumerate(lines) for column, sign in enumerate(line)}
        unknown = sorted(set(cells.values()) - set("#_OX√PS"))
        if unknown:
            raise ValueError(f"`{unknown[0]}` is no sign of a level: use # _ O X √ P S")
        players = [cell for cell, sign in cells.items() if sign in "PS"]
        if len(players) != 1:
            raise ValueError(f"a level has one player, this has {len(players)}")
        level = cls(
            walls=frozenset(cell for cell, sign in cells.items() if sign == _WALL),
            targets=frozenset(cell for cell, sign in cells.items() if sign in "O√S"),
            boxes=frozenset(cell for cell, sign in cells.items() if sign in "X√"),
            player=players[0],
        )
        if not level.boxes or len(level.boxes) != len(level.targets):
            raise ValueError(
                f"{len(level.boxes)} boxes and {len(level.targets)} targets: as many are needed, and one at least"
            )
        height, width = len(lines), max(map(len, lines))
        border = [cell for cell in cells if cell[0] in (0, height - 1) or cell[1] in (0, width - 1)]
        if len({len(line) for line in lines}) != 1 or any(cell not in level.walls for cell in border):
            raise ValueError("a level is a rectangle with walls all round")
        return level

    @property
    def solved(self) -> bool:
        return self.boxes == self.targets

    def after(self, action: str) -> Level:
        """The level after a move: the player steps, and pushes a box if one is there and the cell behind it is free."""
        there = _next(self.player, action)
        if there in self.walls:
            return self
        if there not in self.boxes:
            return replace(self, player=there)
        behind = _next(there, action)
        if behind in self.walls or behind in self.boxes:
            return self
        return replace(self, player=there, boxes=self.boxes - {there} | {behind})

    def draw(self) -> list[str]:
        height, width = (1 + max(cell[index] for cell in self.walls) for index in (0, 1))
        return ["".join(self._sign((row, column)) for column in range(width)) for row in range(height)]

    def _sign(self, cell: Cell) -> str:
        if cell in self.walls:
            return _WALL
        if cell in self.boxes:
            return _BOX_ON_TARGET if cell in self.targets else _BOX
        if cell == self.player:
            return _PLAYER_ON_TARGET if cell in self.targets else _PLAYER
        return _TARGET if cell in self.targets else _FLOOR


def solution(level: Level) -> list[str] | None:
    """As few moves as possible to the end; None where there are none, or none within `MAX_STATES` states."""
    start = (level.player, level.boxes)
    came_from: dict[tuple[Cell, frozenset[Cell]], tuple[Level, str] | None] = {start: None}
    queue = deque([level])
    while queue and len(came_from) < MAX_STATES:
        here = queue.popleft()
        if here.solved:
            moves: list[str] = []
            step = came_from[here.player, here.boxes]
            while step is not None:
                before, action = step
                moves.append(action)
                step = came_from[before.player, before.boxes]
            return moves[::-1]
        for action in ACTIONS:
            there = here.after(action)
            if (there.player, there.boxes) not in came_from:
                came_from[there.player, there.boxes] = (here, action)
                queue.append(there)
    return None


def make_level(rng: random.Random, *, size: int = 6, num_boxes: int = 1, num_walls: int = 3, pulls: int = 12) -> Level:
    """A room of `size` × `size`, outer walls included, that was solved and then played backwards by pulling boxes."""
    inside = [(row, column) for row in range(1, size - 1) for column in range(1, size - 1)]
    outside = {(row, column) for row in range(size) for column in range(size)} - set(inside)
    while True:
        cells = rng.sample(inside, num_walls + num_boxes + 1)
        walls = frozenset(outside | set(cells[:num_walls]))
        targets = frozenset(cells[num_walls:-1])
        level = Level(walls, targets, targets, cells[-1])
        for _ in range(pulls * 4):
            level = _pulled(level, rng.choice(ACTIONS), rng.random() < 0.7)
        moves = None if level.boxes & level.targets else solution(level)
        if moves is not None and len(moves) >= 2:
            return level


def _pulled(level: Level, action: str, pull: bool) -> Level:
    """A move backwards: the player steps away, and may pull a box that stands behind it after itself."""
    there = _next(level.player, action)
    if there in level.walls or there in level.boxes:
        return level
    down, right = MOVES[action]
    behind = (level.player[0] - down, level.player[1] - right)
    if pull and behind in level.boxes:
        return replace(level, player=there, boxes=level.boxes - {behind} | {level.player})
    return replace(level, player=there)


def _next(cell: Cell, action: str) -> Cell:
    down, right = MOVES[action]
    return cell[0] + down, cell[1] + right
