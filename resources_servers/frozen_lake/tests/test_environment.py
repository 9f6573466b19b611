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


def answer(*items: dict[str, Any]) -> dict[str, Any]:
    return {"id": "r", "created_at": 0, "model": "m", "output": list(items)}


def said(text: str) -> dict[str, Any]:
    return answer({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})


def moves(*names: str) -> dict[str, Any]:
    return said(f"<answer>{' || '.join(names)}</answer>")


def calls(*directions: str) -> dict[str, Any]:
    arguments = [f'{{"direction": "{direction}"}}' for direction in directions]
    items = [
        {"type": "function_call", "call_id": f"c{index}", "name": "move", "arguments": text}
        for index, text in enumerate(arguments)
    ]
    return answer(*items)


class Player:
    """One session."""

    def __init__(self, gym: InProcessGym, session: str, task: dict[str, Any]) -> None:
        self.gym, self.headers, self.task = gym, {"x-session-id": session}, task

    async def post(self, path: str, response: dict[str, Any] | None = None) -> dict[str, Any]:
        body = self.task if response is None else {**self.task, "response": response}
        reply = await self.gym.client.post("frozen_lake", path, body, headers=self.headers)
        assert reply.status == 200, reply.text
        parsed: dict[str, Any] = reply.parse()
        return parsed


@pytest.mark.parametrize("is_slippery", [False, True])
async def test_games_go_as_gymnasiums_own(is_slippery: bool) -> None:
    rng = random.Random(7)
    async with InProcessGym() as gym:
        gym.add("frozen_lake", FOLDER, max_turns=1000, max_episode_length=1000)
        for number in range(60):
            board = make_board(rng, rng.randint(3, 6), 0.7)
            reference = gymnasium.make("FrozenLake-v1", desc=board, is_slippery=is_slippery, max_episode_steps=1000)
            reference.reset(seed=number)
            player = Player(gym, f"s{number}", row(board, is_slippery=is_slippery, seed=number, layout="gymnasium"))
            await player.post("/reset")
            for _ in range(30):
                name = rng.choice(ACTIONS)
                position, reward, terminated, _, _ = reference.step(ACTIONS.index(name))
                step = await player.post("/step", moves(name))
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
        player = Player(gym, "a", row())
        await player.post("/reset")
        step = await player.post("/step", moves("Down", "Down", "Right"))
        assert (step["reward"], step["terminated"], step["truncated"]) == (0.0, False, False)
        assert step["observation"] == "_ _ _ _\n_ O _ O\n_ P _ O\nO _ _ G\nTurns left: 9. Moves left: 47."
        step = await player.post("/step", moves("down", "RIGHT", "Right", "Left"))
        assert (step["reward"], step["terminated"]) == (1.0, True)
        assert step["info"] == {"success": True, "bad_format": False, "num_actions": 4}
        verified = await player.post("/verify", said(""))
        assert (verified["reward"], verified["success"], verified["num_actions"]) == (1.0, True, 6)
        fallen = Player(gym, "b", row())
        await fallen.post("/reset")
        step = await fallen.post("/step", moves("Right", "Down", "Down"))
        assert (step["reward"], step["terminated"], step["info"]["success"]) == (0.0, True, False)


async def test_moves_in_the_wrong_form_cost_a_penalty_of_their_own() -> None:
    async with InProcessGym() as gym:
        gym.add("frozen_lake", FOLDER, format_penalty=0.25)
        player = Player(gym, "a", row())
        await player.post("/reset")
        silent = await player.post("/step", said("Down!"))
        assert silent["reward"] == -0.25 and silent["observation"].startswith("Say your moves as <answer>")
        unknown = await player.post("/step", moves("Down", "Jump", "Down"))
        assert unknown["reward"] == -0.25 and "`Jump` is no move" in unknown["observation"]
        many = await player.post("/step", moves(*["Up"] * 6))
        assert many["reward"] == -0.25 and "Only 5 moves a turn" in many["observation"]
        await player.post("/step", moves("Down", "Down", "Right", "Down", "Right"))
        assert (await player.post("/step", moves("Right")))["reward"] == 1.0
        verified = await player.post("/verify", said(""))
        assert verified["reward"] == 0.25
        assert verified["reward_components"] == {"game": 1.0, "format": -0.75}


async def test_turns_and_moves_are_bounded_apart_from_the_games_end() -> None:
    async with InProcessGym() as gym:
        gym.add("frozen_lake", FOLDER, max_episode_length=3)
        player = Player(gym, "a", row(max_turns=2))
        await player.post("/reset")
        assert not (await player.post("/step", moves("Up")))["truncated"]
        last = await player.post("/step", moves("Up"))
        assert (last["truncated"], last["terminated"]) == (True, False)
        long = Player(gym, "b", row())
        await long.post("/reset")
        assert (await long.post("/step", moves("Down", "Down", "Right", "Down", "Right")))["truncated"]
        assert (await long.post("/verify", said("")))["num_actions"] == 3


async def test_moves_can_be_tool_calls_answered_by_the_step() -> None:
    async with InProcessGym() as gym:
        gym.add("frozen_lake", FOLDER)
        player = Player(gym, "a", row())
        await player.post("/reset")
        step = await player.post("/step", calls("Down", "Sideways"))
        outputs = {entry["call_id"]: entry["output"] for entry in step["info"]["tool_outputs"]}
        assert outputs["c0"] == "done" and "`Sideways` is no move" in outputs["c1"]
        assert step["observation"].startswith("_ _ _ _\nP O")


async def test_what_is_shown_is_chosen_by_row_or_configuration() -> None:
    async with InProcessGym() as gym:
        gym.add("frozen_lake", FOLDER, observation="coordinates")
        player = Player(gym, "a", row())
        await player.post("/reset")
        seen = (await player.post("/step", moves("Down")))["observation"]
        assert seen.startswith("You are at (1, 0), the goal at (3, 3), holes at: (1, 1), (1, 3), (2, 3), (3, 0)")
        both = Player(gym, "b", row(observation="both", layout="gymnasium"))
        await both.post("/reset")
        assert (await both.post("/step", moves("Down")))["observation"].startswith("SFFF\n[F]HFH\nFFFH\nHFFG\nYou are")


@pytest.mark.parametrize(
    "board", [[], ["SG", "F"], ["FG"], ["SF"], ["SGG"], ["SXG"], ["GS"], ["S" + "F" * 80 + "G"], "SG", None]
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
            player = Player(gym, f"s{number}", row(board))
            await player.post("/reset")
            position = 0
            for index, name in enumerate(path):
                step = await player.post("/step", moves(name))
                position += {"Left": -1, "Right": 1, "Up": -len(board), "Down": len(board)}[name]
                if index == 9 and index < len(path) - 1:
                    assert step["truncated"]
                    return
                if index < len(path) - 1:
                    shown = describe(board, position, Layout.RAGEN, Observation.GRID)
                    assert step["observation"].startswith(shown)
            assert (await player.post("/verify", said("")))["success"] is True

        await asyncio.gather(*(play(number) for number in range(1000)))


def test_every_board_that_is_made_has_a_way_and_the_same_seed_makes_the_same() -> None:
    for number in range(200):
        board = make_board(random.Random(number), 3 + number % 6, 0.6)
        assert board == make_board(random.Random(number), 3 + number % 6, 0.6)
        path = shortest_path(board)
        assert path is not None and len(path) >= 2 * (len(board) - 1)
