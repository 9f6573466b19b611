"""The floor under a rollout's cost: the same HTTP requests between nothing but a bare client and bare ASGI apps.

One process with the bare transport of our client makes, one after another, every request that a rollout causes, with
bodies of the same sizes. What is counted is its CPU time and that of the bare apps that stand for agent, model and
resources server. As in the figure that it is compared with, what the model behind the model server uses is left out.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Literal

import orjson
import uvloop

from nemo_gym.serving.socket_transport import SocketTransport
from tests.benchmarks.fake_model import FakeModel, FakeModelSettings
from tests.benchmarks.local_server import local_server
from tests.benchmarks.process_stats import ProcessStat

Server = Literal["agent", "model", "resources", "model behind the model server"]
_COUNTED: tuple[Server, ...] = ("agent", "model", "resources")
_TIMEOUT_S = 60.0
_BARE_SERVER = "tests.benchmarks.bare_server"


@dataclass(frozen=True)
class Hop:
    """One HTTP request of a rollout."""

    server: Server
    request_bytes: int
    answer_bytes: int


@dataclass(frozen=True)
class Floor:
    """What the hops cost, per rollout."""

    client_cpu_ms: float
    servers_cpu_ms: float
    rollouts_per_s: float

    @property
    def cpu_ms(self) -> float:
        return self.client_cpu_ms + self.servers_cpu_ms


@dataclass(frozen=True)
class _Plan:
    """What the client process is told."""

    hops: list[tuple[str, int]]
    """URL and size of the request's body."""
    counted_pids: list[int]
    rollouts: int
    warm_up: int
    concurrency: int


def hops_of(row: dict[str, Any], result: dict[str, Any]) -> list[Hop]:
    """Every request that this rollout caused, in order, from its task row and the answer of `/run`."""
    row_bytes, result_bytes = len(orjson.dumps(row)), len(orjson.dumps(result))
    params, output = row["responses_create_params"], result["response"]["output"]
    model = FakeModel()
    model.configure(FakeModelSettings(tool_calls=len(result["turns"]) - 1))
    hops = [Hop("agent", row_bytes, result_bytes), Hop("resources", row_bytes, 2)]
    seen = 0
    for turn in result["turns"]:
        request = orjson.dumps({**params, "input": params["input"] + output[:seen]})
        answer = model.answer(request).partition(b"\r\n\r\n")[2]
        hops += [
            Hop("model", len(request), len(answer)),
            Hop("model behind the model server", len(request), len(answer)),
        ]
        for item in output[seen : seen + turn["output_items"]]:
            if item["type"] == "function_call":
                arguments_bytes = len(item["arguments"])
            elif item["type"] == "function_call_output":
                hops.append(Hop("resources", arguments_bytes, len(item["output"])))
        seen += turn["output_items"]
    verify = orjson.dumps({**row, "response": result["response"]})
    return [*hops, Hop("resources", len(verify), len(verify) + len(',"reward":1.0'))]


def measure_floor(hops: list[Hop], *, rollouts: int, warm_up: int, concurrency: int) -> Floor:
    """Make the requests of that many rollouts, so many of them side by side, after `warm_up` uncounted ones."""
    with ExitStack() as stack:
        servers = {name: stack.enter_context(local_server(_BARE_SERVER)) for name in sorted({h.server for h in hops})}
        plan = _Plan(
            hops=[(f"{servers[hop.server].url}/{hop.answer_bytes}", hop.request_bytes) for hop in hops],
            counted_pids=[server.pid for name, server in servers.items() if name in _COUNTED],
            rollouts=rollouts,
            warm_up=warm_up,
            concurrency=concurrency,
        )
        client = subprocess.run(
            [sys.executable, "-m", __name__], input=orjson.dumps(asdict(plan)), stdout=subprocess.PIPE, check=True
        )
        return Floor(**orjson.loads(client.stdout))


async def _run_client(plan: _Plan) -> Floor:
    """Runs in a process of its own."""
    requests = [(url, b"x" * size) for url, size in plan.hops]
    headers = {"content-type": "application/json"}
    transport = SocketTransport()

    async def run(rollouts: int) -> None:
        numbers = iter(range(rollouts))

        async def work() -> None:
            for _ in numbers:
                for url, body in requests:
                    await transport.send("POST", url, body, headers, _TIMEOUT_S)

        await asyncio.gather(*(work() for _ in range(plan.concurrency)))

    await run(plan.warm_up)
    client_s, servers_s, wall_s = _own_cpu_s(), _cpu_s(plan.counted_pids), time.perf_counter()
    await run(plan.rollouts)
    floor = Floor(
        client_cpu_ms=(_own_cpu_s() - client_s) / plan.rollouts * 1e3,
        servers_cpu_ms=(_cpu_s(plan.counted_pids) - servers_s) / plan.rollouts * 1e3,
        rollouts_per_s=plan.rollouts / (time.perf_counter() - wall_s),
    )
    await transport.close()
    return floor


def _own_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _cpu_s(pids: list[int]) -> float:
    return sum(stat.cpu_s for pid in pids if (stat := ProcessStat.read(pid)))


if __name__ == "__main__":
    floor = uvloop.run(_run_client(_Plan(**orjson.loads(sys.stdin.buffer.read()))))
    sys.stdout.buffer.write(orjson.dumps(floor))
