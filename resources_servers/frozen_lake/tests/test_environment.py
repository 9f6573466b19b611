"""Episodes: held against Gymnasium itself, their rewards and limits, and a thousand of them at once."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from nemo_gym.testclient import InProcessGym
from resources_servers.frozen_lake.board import ACTIONS, Layout, Observation, describe, make_board, shortest_path

FOLDER = Path(__file__).resolve().parent.parent
BOARD = ["SFFF", "FHFH", "FFFH", "HFFG"]


def row(board: list[str] = BOARD, **fields: Any) -> dict[str, Any]:
    return {"responses_create_params": {"input": "Cross the lake."}, "board": board, **fields}


def moves(*names: str) -> str:
    return f"<answer>{' || '.join(names)}</answer>"


def calls(*directions: str) -> list[dict[str, Any]]:
    arguments = [f'{{"direction": "{direction}"}}' for direction in directions]
    return [
        {"type": "function_call", "call_id": f"c{index}", "name": "move", "arguments": text}
        for index, text in enumerate(arguments)
    ]


@pytest.mark.parametrize("is_slippery", [False, True])
async def test_games_go_as_gymnasiums_own(is_slippery: bool) -> None:
    rng = random.Random(7)
    async with InProcessGym() as gym:
        gym.add("frozen_lake", FOLDER, max_turns=1000, max_episode_length=1000)
        for number in range(60):
            board = make_board(rng, rng.randint(3, 6), 0.7)
            reference = gymnasium.make("FrozenLake-v1", desc=board, is_slippery=is_slippery, max_episode_steps=1000)
            reference.reset(seed=number)
            player = gym.episode("frozen_lake", row(board, is_slippery=is_slippery, seed=number, layout="gymnasium"))
            await player.reset()
            for _ in range(30):
                name = rng.choice(ACTIONS)
                position, reward, terminated, _, _ = reference.step(ACTIONS.index(name))
                step = await player.step(moves(name))
                assert (step["reward"], step["terminated"]) == (reward, terminated)
                if terminated:
                    break
                assert step["observation"].startswith(
                    describe(board, int(position), Layout.GYMNASIUM, Observation.GRID)
                )
            reference.close()


async def test_several_moves_a_turn_end_at_the_goal_or_in_a_hole() -> None:
    async with InProcessGym() as gym:
        gym.add("frozen_lake", FOLDER)
        player = gym.episode("frozen_lake", row())
        await player.reset()
        step = await player.step(moves("Down", "Down", "Right"))
        assert (step["reward"], step["terminated"], step["truncated"]) == (0.0, False, False)
        assert step["observation"] == "_ _ _ _\n_ O _ O\n_ P _ O\nO _ _ G\nTurns left: 9. Moves left: 47."
        step = await player.step(moves("down", "RIGHT", "Right", "Left"))
        assert (step["reward"], step["terminated"]) == (1.0, True)
        assert step["info"] == {"success": True, "bad_format": False, "num_actions": 3}
        verified = await player.verify()
        assert (verified["reward"], verified["success"], verified["num_actions"]) == (1.0, True, 6)
        fallen = gym.episode("frozen_lake", row())
        await fallen.reset()
        step = await fallen.step(moves("Right", "Down", "Down"))
        assert (step["reward"], step["terminated"], step["info"]["success"]) == (0.0, True, False)


async def test_moves_in_the_wrong_form_cost_a_penalty_of_their_own() -> None:
    async with InProcessGym() as gym:
        gym.add("frozen_lake", FOLDER, format_penalty=0.25)
        player = gym.episode("frozen_lake", row())
        await player.reset()
        silent = await player.step("Down!")
        assert silent["reward"] == -0.25 and silent["observation"].startswith("Say your moves as <answer>")
        unknown = await player.step(moves("Down", "Jump", "Down"))
        assert unknown["reward"] == -0.25 and "`Jump` is no move" in unknown["observation"]
        many = await player.step(moves(*["Up"] * 6))
        assert many["reward"] == -0.25 and "Only 5 moves a turn" in many["observation"]
        await player.step(moves("Down", "Down", "Right", "Down", "Right"))
        assert (await player.step(moves("Right")))["reward"] == 1.0
        verified = await player.verify()
        assert verified["reward"] == 0.25
        assert verified["reward_components"] == {"game": 1.0, "format": -0.75}


async def test_turns_and_moves_are_bounded_apart_from_the_games_end() -> None:
    async with InProcessGym() as gym:
        gym.add("frozen_lake", FOLDER, max_episode_length=3)
        player = gym.episode("frozen_lake", row(max_turns=2))
        await player.reset()
        assert not (await player.step(moves("Up")))["truncated"]
        last = await player.step(moves("Up"))
        assert (last["truncated"], last["terminated"]) == (True, False)
        long = gym.episode("frozen_lake", row())
        await long.reset()
        assert (await long.step(moves("Down", "Down", "Right", "Down", "Right")))["truncated"]
        assert (await long.verify())["num_actions"] == 3


async def test_moves_can_be_tool_calls_answered_by_the_step() -> None:
    async with InProcessGym() as gym:
        gym.add("frozen_lake", FOLDER)
        player = gym.episode("frozen_lake", row())
        await player.reset()
        step = await player.step(calls("Down", "Sideways"))
        outputs = {entry["call_id"]: entry["output"] for entry in step["info"]["tool_outputs"]}
        assert outputs["c0"] == "done" and "`Sideways` is no move" in outputs["c1"]
        assert step["observation"].startswith("_ _ _ _\nP O")


async def test_calls_after_the_games_end_are_told_that_they_were_not_done() -> None:
    async with InProcessGym() as gym:
        gym.add("frozen_lake", FOLDER)
        player = gym.episode("frozen_lake", row())
        await player.reset()
        step = await player.step(calls("Right", "Down", "Down"))
        outputs = [entry["output"] for entry in step["info"]["tool_outputs"]]
        assert outputs == ["done", "done", "not done: the game was over"]
        assert (step["terminated"], step["info"]["num_actions"]) == (True, 2)


async def test_what_is_shown_is_chosen_by_row_or_configuration() -> None:
    async with InProcessGym() as gym:
        gym.add("frozen_lake", FOLDER, observation="coordinates")
        player = gym.episode("frozen_lake", row())
        await player.reset()
        seen = (await player.step(moves("Down")))["observation"]
        assert seen.startswith("You are at (1, 0), the goal at (3, 3), holes at: (1, 1), (1, 3), (2, 3), (3, 0)")
        both = gym.episode("frozen_lake", row(observation="both", layout="gymnasium"))
        await both.reset()
        assert (await both.step(moves("Down")))["observation"].startswith("SFFF\n[F]HFH\nFFFH\nHFFG\nYou are")


@pytest.mark.parametrize(
    "board", [[], ["SG", "F"], ["FG"], ["SF"], ["SGG"], ["SXG"], ["GS"], ["S" + "F" * 15 + "G"], "SG", None]
)
async def test_a_row_without_a_board_is_refused(board: Any) -> None:
    async with InProcessGym() as gym:
        gym.add("frozen_lake", FOLDER)
        reply = await gym.client.post("frozen_lake", "/reset", row(board))
        assert reply.status == 422 and "board" in reply.text


async def test_a_thousand_sessions_at_once_mix_nothing_up() -> None:
    async with InProcessGym() as gym:
        gym.add("frozen_lake", FOLDER)

        async def play(number: int) -> None:
            rng = random.Random(number)
            board = make_board(rng, 4 + number % 2)
            path = shortest_path(board)
            assert path is not None
            player = gym.episode("frozen_lake", row(board))
            await player.reset()
            position = 0
            for index, name in enumerate(path):
                step = await player.step(moves(name))
                position += {"Left": -1, "Right": 1, "Up": -len(board), "Down": len(board)}[name]
                if index == 9 and index < len(path) - 1:
                    assert step["truncated"]
                    return
                if index < len(path) - 1:
                    shown = describe(board, position, Layout.RAGEN, Observation.GRID)
                    assert step["observation"].startswith(shown)
            assert (await player.verify())["success"] is True

        await asyncio.gather(*(play(number) for number in range(1000)))


def test_every_board_that_is_made_has_a_way_and_the_same_seed_makes_the_same() -> None:
    for number in range(200):
        board = make_board(random.Random(number), 3 + number % 6, 0.6)
        assert board == make_board(random.Random(number), 3 + number % 6, 0.6)
        path = shortest_path(board)
        assert path is not None and len(path) >= 2 * (len(board) - 1)
