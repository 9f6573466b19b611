"""CPU per turn of an environment that talks back, by the number of turns in an episode.

python -m tests.benchmarks.turns

All in one process, without sockets and with a model that costs nothing, so that what is measured is the code of this
package, the agent loop and the resources server: each turn is a model call, whose request is written as JSON, and a
`/step`.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

import orjson

from nemo_gym.agent_loop.budget import Budget
from nemo_gym.agent_loop.environment import RemoteEnvironment
from nemo_gym.agent_loop.loop import Episode, run_rollout
from nemo_gym.environments import Environment, EnvironmentServer, StepResult
from nemo_gym.schemas.episode import BaseRunRequest
from nemo_gym.schemas.responses import Response
from nemo_gym.serving.http import NO_RETRY
from nemo_gym.testclient import InProcessGym
from tests.benchmarks.table import machine, markdown_table
from tests.benchmarks.task_rows import task_row

TURNS = (1, 5, 20, 50, 100)
SAID = "It is cold there, 3 degrees, and the wind will not let up before the evening. Take a coat along."
ANSWER: dict[str, Any] = {
    "id": "resp_0",
    "object": "response",
    "created_at": 1_800_000_000,
    "model": "none",
    "output": [
        {
            "type": "message",
            "id": "msg_0",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": SAID, "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 120, "output_tokens": 40, "total_tokens": 160},
}


class Chat(Environment):
    def __init__(self, turns: int) -> None:
        self.left = turns

    async def step(self, response: Response) -> StepResult:
        self.left -= 1
        return StepResult("And what about tomorrow?", 0.1, terminated=self.left == 0)


class ChatServer(EnvironmentServer):
    async def make_environment(self, row: BaseRunRequest) -> Chat:
        return Chat(self.max_turns(row, 1))


class Free:
    """A model that only reads what it is sent."""

    sent_bytes = 0

    async def respond(self, params: dict[str, Any]) -> dict[str, Any]:
        Free.sent_bytes += len(orjson.dumps(params))
        return ANSWER


async def measured(turns: int, repeats: int) -> tuple[float, float]:
    """CPU-ms per turn, and kB of model requests per turn."""
    async with InProcessGym() as gym:
        gym.add("chat", ChatServer)

        async def play(index: int) -> None:
            environment = RemoteEnvironment(
                gym.client, "chat", rollout_id=str(index), tool_timeout_s=60, verify_timeout_s=60, retry=NO_RETRY
            )
            row = {**task_row(index), "max_turns": turns}
            del row["responses_create_params"]["tools"]
            result = await run_rollout(Episode(row, environment, Free(), Budget()))
            assert len(result["turns"]) == turns

        await play(0)
        Free.sent_bytes = 0
        started = time.process_time()
        for index in range(repeats):
            await play(index)
        cpu_s = time.process_time() - started
    return 1000 * cpu_s / (repeats * turns), Free.sent_bytes / (1000 * repeats * turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=2000, help="turns measured for each length")
    options = parser.parse_args()
    table = []
    for turns in TURNS:
        cpu_ms, sent_kb = asyncio.run(measured(turns, max(options.turns // turns, 1)))
        table.append((str(turns), f"{cpu_ms:.2f}", f"{sent_kb:.1f}"))
    print(machine())
    print(markdown_table(("turns in the episode", "CPU-ms a turn", "kB a model request"), table))


if __name__ == "__main__":
    main()
