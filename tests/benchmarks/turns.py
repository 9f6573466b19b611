"""CPU and bytes per turn of an environment that talks back, by the number of turns in an episode.

python -m tests.benchmarks.turns

All in one process, without sockets: agent loop, resources server, and a model server that answers with token ids. Each
turn is a model call and a `/step`. Beside it the same where the agent sends the whole conversation each time, tokens
included, as it does to model servers that remember none.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nemo_gym.agent_loop.abilities import ModelAbilities
from nemo_gym.agent_loop.budget import Budget
from nemo_gym.agent_loop.environment import RemoteEnvironment
from nemo_gym.agent_loop.loop import Episode, run_rollout
from nemo_gym.agent_loop.model import RemoteModel
from nemo_gym.environments import Environment, EnvironmentServer, StepResult
from nemo_gym.schemas.episode import BaseRunRequest
from nemo_gym.schemas.responses import Response
from nemo_gym.serving.http import NO_RETRY
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.testclient import InProcessGym
from responses_api_models.scripted_model.app import ScriptedModel
from tests.benchmarks.report import Report, Target
from tests.benchmarks.table import markdown_table
from tests.benchmarks.task_rows import task_row

TURNS = (1, 5, 10, 20, 50, 100)
SAID = "It is cold there, 3 degrees, and the wind will not let up before the evening. Take a coat along."
POLICY = f"def answer(turn):\n    return {SAID!r}\n"


class Chat(Environment):
    def __init__(self, turns: int) -> None:
        self.left = turns

    async def step(self, response: Response) -> StepResult:
        self.left -= 1
        return StepResult("And what about tomorrow?", 0.1, terminated=self.left == 0)


class ChatServer(EnvironmentServer):
    async def make_environment(self, row: BaseRunRequest) -> Chat:
        return Chat(self.max_turns(row, 1))


class Counted:
    """An app whose bodies are counted, both ways."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.size = app, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted_receive() -> Message:
            message = await receive()
            self.size += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            self.size += len(message.get("body", b""))
            await send(message)

        await self.app(scope, counted_receive, counted_send)


class NoAbilities(ModelAbilities):
    """As if the model server remembered nothing."""

    async def remembers_conversations(self, server_name: str) -> bool:
        return False


@dataclass(frozen=True)
class Cost:
    """Of one turn."""

    cpu_ms: float
    kilobytes: float
    """Bodies between agent and model server, both ways."""


async def measured(turns: int, repeats: int, abilities: type[ModelAbilities], folder: Path) -> Cost:
    async with InProcessGym() as gym:
        gym.add("chat", ChatServer)
        policy = f"{folder / 'policy.py'}:answer"
        gym.add("policy", ScriptedModel, policy=policy, environment=[], tokens={"enabled": True})
        counted = gym.apps["policy"] = Counted(gym.apps["policy"])
        asked = abilities(gym.client)

        async def play(index: int) -> None:
            environment = RemoteEnvironment(
                gym.client, "chat", rollout_id=str(index), tool_timeout_s=60, verify_timeout_s=60, retry=NO_RETRY
            )
            row = {**task_row(index), "max_turns": turns}
            del row["responses_create_params"]["tools"]
            model = _model(gym.client, f"{index}-{time.monotonic()}", asked)
            result: Mapping[str, list[object]] = await run_rollout(Episode(row, environment, model, Budget()))
            assert len(result["turns"]) == turns

        await play(0)
        gc.collect()
        gc.freeze()  # as a server does when it is ready
        counted.size = 0
        started = time.process_time()
        for index in range(repeats):
            await play(index)
        cpu_s = time.process_time() - started
    return Cost(1000 * cpu_s / (repeats * turns), counted.size / (1000 * repeats * turns))


def _model(client: ServerClient, rollout_id: str, abilities: ModelAbilities) -> RemoteModel:
    return RemoteModel(client, "policy", rollout_id=rollout_id, timeout_s=60, retry=NO_RETRY, abilities=abilities)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=2000, help="turns measured for each length")
    print(report(parser.parse_args().turns))


def report(turns_measured: int = 500) -> Report:
    """Each length of an episode."""
    costs = {}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "policy.py").write_text(POLICY)
        for turns in TURNS:
            repeats = max(turns_measured // turns, 1)
            ours = asyncio.run(measured(turns, repeats, ModelAbilities, Path(folder)))
            costs[turns] = (ours, asyncio.run(measured(turns, repeats, NoAbilities, Path(folder))))
    table = markdown_table(
        ("turns in the episode", "CPU-ms a turn", "all sent again", "kB a turn", "all sent again"),
        [
            (str(turns), *(f"{cost:.2f}" for cost in (ours.cpu_ms, whole.cpu_ms, ours.kilobytes, whole.kilobytes)))
            for turns, (ours, whole) in costs.items()
        ],
    )
    short, (long, resent) = costs[20][0], costs[100]
    return Report(
        (table,),
        (
            _flat("CPU of a turn", "ms", short.cpu_ms, long.cpu_ms),
            _flat("bytes of a turn", "kB", short.kilobytes, long.kilobytes),
            Target(
                "100 turns with token ids", "20 times less CPU than sending all again",
                f"{resent.cpu_ms / long.cpu_ms:.1f} times less", resent.cpu_ms >= 20 * long.cpu_ms,
            ),
        ),
    )  # fmt: skip


def _flat(what: str, unit: str, short: float, long: float) -> Target:
    return Target(
        f"{what} of 100, beside one of 20",
        "flat (± 20 %)",
        f"{long:.2f} {unit}",
        long <= 1.2 * short,
        f"{short:.2f} {unit} there",
    )


if __name__ == "__main__":
    main()
