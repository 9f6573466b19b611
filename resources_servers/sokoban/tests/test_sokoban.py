"""Rules, levels and episodes of sokoban."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.testclient import InProcessGym
from resources_servers.sokoban.level import ACTIONS, Level, make_level, solution

FOLDER = Path(__file__).resolve().parent.parent
CORRIDOR = ["######", "#PXO_#", "######"]


def moved(lines: list[str], *actions: str) -> list[str]:
    level = Level.parse(lines)
    for action in actions:
        level = level.after(action)
    return level.draw()


def test_boxes_are_pushed_and_never_pulled() -> None:
    assert moved(CORRIDOR, "Right") == ["######", "#_P√_#", "######"]
    assert moved(CORRIDOR, "Right", "Right") == ["######", "#__SX#", "######"]
    assert moved(CORRIDOR, "Right", "Right", "Right") == ["######", "#__SX#", "######"], "behind it is a wall"
    assert moved(CORRIDOR, "Right", "Left") == ["######", "#P_√_#", "######"], "the box stays"
    assert moved(["#######", "#PXXOO#", "#######"], "Right")[1] == "#PXXOO#", "two boxes are too heavy"
    assert moved(CORRIDOR, "Up", "Left", "Down") == CORRIDOR


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["###", "#P#", "###"], "0 boxes"),
        (["####", "#P√#", "####"], "already"),
        (["#####", "#PX_#", "#####"], "1 boxes and 0 targets"),
        (["#####", "#XO_#", "#####"], "0"),
        (["#####", "#PXO_", "#####"], "walls all round"),
        (["#####", "#PXO#", "####"], "walls all round"),
        (["#####", "#P@O#", "#####"], "`@` is no sign"),
        (["######", "#PXOP#", "######"], "has 2"),
    ],
)
async def test_what_is_no_level_is_refused_with_the_reason(lines: list[str], complaint: str) -> None:
    async with InProcessGym() as gym:
        gym.add("sokoban", FOLDER)
        body = {"responses_create_params": {"input": "x"}, "level": lines}
        answer = await gym.client.post("sokoban", "/reset", body)
        assert answer.status == 422 and complaint in answer.text and "level" in answer.text


def test_made_levels_have_solutions_and_depend_on_the_seed_alone() -> None:
    for number in range(40):
        level = make_level(random.Random(number), num_boxes=1 + number % 2)
        assert level == make_level(random.Random(number), num_boxes=1 + number % 2)
        assert level == Level.parse(level.draw())
        moves = solution(level)
        assert moves is not None
        for action in moves:
            assert not level.solved
            level = level.after(action)
        assert level.solved


def test_a_box_in_a_corner_has_no_solution() -> None:
    assert solution(Level.parse(["#####", "#X__#", "#_PO#", "#####"])) is None


def test_random_play_keeps_the_rules() -> None:
    rng = random.Random(3)
    for number in range(50):
        level = make_level(rng, num_boxes=1 + number % 2)
        for _ in range(60):
            level = level.after(rng.choice(ACTIONS))
            assert level.player not in level.walls | level.boxes
            assert not level.boxes & level.walls and len(level.boxes) == len(level.targets)


async def play(settings: dict[str, Any], *turns: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Steps and verify answer of an episode in the corridor."""
    async with InProcessGym() as gym:
        gym.add("sokoban", FOLDER, **settings)
        played = gym.episode("sokoban", {"responses_create_params": {"input": "Push."}, "level": CORRIDOR})
        await played.reset()
        return [await played.step(text) for text in turns], await played.verify()


async def test_success_is_one_and_nothing_else() -> None:
    [first, last], verified = await play({}, "<answer>Up</answer>", "<answer>Right || Up</answer>")
    assert (first["reward"], first["observation"]) == (0.0, "######\n#PXO_#\n######\nTurns left: 9. Moves left: 49.")
    assert (last["reward"], last["terminated"], last["info"]["num_actions"]) == (1.0, True, 1)
    assert (verified["reward"], verified["success"], verified["boxes_on_target"]) == (1.0, True, 1)


async def test_ragens_scale_counts_every_move() -> None:
    [step], _ = await play({"reward_scale": "ragen"}, "<answer>Right</answer>")
    assert step["reward"] == pytest.approx(-0.1 + 1.0 + 10.0)
