"""Demonstrations: episodes of a task's own demonstrator, played in the environment itself, within this process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nemo_gym.agent_loop.budget import Budget
from nemo_gym.agent_loop.environment import RemoteEnvironment
from nemo_gym.agent_loop.loop import Episode, run_rollout
from nemo_gym.config.places import find_implementation
from nemo_gym.env_checker.episodes import ReferenceModel
from nemo_gym.env_checker.layout import server_settings
from nemo_gym.errors import DataError
from nemo_gym.prepare import TaskRow
from nemo_gym.reference_policies import PolicyPlayer
from nemo_gym.schemas.rollout import FAILURE
from nemo_gym.serving.http import NO_RETRY
from nemo_gym.testclient import InProcessGym
from nemo_gym.training.demo.task import DemoTask

MAX_STEPS = 20
SIDE_BY_SIDE = 32


def play_demonstrations(task: DemoTask, rows: Sequence[TaskRow], seed: int) -> list[dict[str, Any]]:
    """One rollout of each row, in order, as an agent would have returned it; the same seed plays the same ones.

    Raises `DataError` where one fails.
    """
    return asyncio.run(_play_all(task, rows, seed))


async def _play_all(task: DemoTask, rows: Sequence[TaskRow], seed: int) -> list[dict[str, Any]]:
    folder = find_implementation("resources_servers", task.name, "app.py", Path.cwd())
    if folder is None:
        raise DataError(f"resources_servers/{task.name}", None, "is not here; install nemo-gym with its environments")
    settings, _ = server_settings(folder)
    async with InProcessGym() as gym:
        gym.add(task.name, folder, **{**settings.own, **task.settings})

        async def play(number: int) -> dict[str, Any]:
            environment = RemoteEnvironment(
                gym.client,
                task.name,
                rollout_id=str(number),
                tool_timeout_s=60,
                verify_timeout_s=60,
                retry=NO_RETRY,
            )
            # A player of its own for each, as rows with the same prompt are told apart by their place only.
            policies = {"demonstrator": task.demonstrate}
            player = PolicyPlayer(policies, "demonstrator", [rows[number]], seed=seed * 1_000_003 + number)
            model = ReferenceModel(player, "rollout")
            rollout = await run_rollout(Episode(rows[number], environment, model, Budget(max_steps=MAX_STEPS)))
            if FAILURE in rollout:
                raise DataError(f"demonstrations of {task.name}", number, rollout[FAILURE]["message"])
            return rollout

        played = []
        for start in range(0, len(rows), SIDE_BY_SIDE):
            numbers = range(start, min(start + SIDE_BY_SIDE, len(rows)))
            played += await asyncio.gather(*(play(number) for number in numbers))
        return played
