"""Why the HTTP client is our own: CPU and wall time of it and two libraries with many requests queued.

`python -m tests.benchmarks.clients`. Each client is a process of its own, with a pool of 256 connections to a bare ASGI
app that answers 2 KB to 2 KB.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import httpx
import orjson
import uvloop

from nemo_gym.serving.http import HttpClient
from tests.benchmarks.local_server import local_server
from tests.benchmarks.report import Report, Target
from tests.benchmarks.table import markdown_table

CONNECTIONS = 256


@dataclass(frozen=True)
class Load:
    """Requests that are begun together; those beyond the connections wait in the client's queue."""

    at_once: int
    open_connections: int
    """So many requests were made together before, uncounted, and have left their connections open."""


LOADS = (Load(32, 1), Load(1000, 1), Load(4000, 1), Load(CONNECTIONS, CONNECTIONS))
MIN_REQUESTS = 1000
"""Made at least per line of the table, in several rounds where that takes them."""
_BODY = b"x" * 2000
_TIMEOUT_S = 120.0

Send = Callable[[], Awaitable[bytes]]


@dataclass(frozen=True)
class ClientCost:
    """What the requests took."""

    cpu_ms: float
    """Per request, of the client process."""
    wall_s: float
    """Until all that were begun together are answered."""


def main() -> None:
    """Measure and print."""
    print(report())


def report() -> Report:
    """Every client under every load."""
    with local_server("tests.benchmarks.bare_server") as server:
        url = f"{server.url}/{len(_BODY)}"
        costs = {(client, load): client_cost(client, url, load) for client in CLIENTS for load in LOADS}
    table = markdown_table(
        ["client", "requests at once", "connections open", "CPU-ms a request", "wall s"],
        [
            [client, str(load.at_once), str(load.open_connections), f"{cost.cpu_ms:.2f}", f"{cost.wall_s:.2f}"]
            for (client, load), cost in costs.items()
        ],
    )
    own, other = (costs[client, LOADS[-1]].cpu_ms for client in ("HttpClient", "aiohttp"))
    target = Target(
        f"HTTP client, {CONNECTIONS} connections", "cheaper than aiohttp", f"{own:.2f} CPU-ms", own < other,
        f"aiohttp {other:.2f}",
    )  # fmt: skip
    return Report((f"{CONNECTIONS} connections", table), (target,))


def client_cost(client: str, url: str, load: Load, min_requests: int = MIN_REQUESTS) -> ClientCost:
    """Measured in a process of its own."""
    numbers = [str(load.at_once), str(load.open_connections), str(min_requests)]
    command = [sys.executable, "-m", "tests.benchmarks.clients", client, url, *numbers]
    return ClientCost(**orjson.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))


@asynccontextmanager
async def _own_client(url: str) -> AsyncIterator[Send]:
    client, free = HttpClient(), asyncio.Semaphore(CONNECTIONS)

    async def send() -> bytes:
        async with free:
            return (await client.request("POST", url, body=_BODY, timeout_s=_TIMEOUT_S)).body

    yield send
    await client.close()


@asynccontextmanager
async def _aiohttp_client(url: str) -> AsyncIterator[Send]:
    connector, timeout = aiohttp.TCPConnector(limit=CONNECTIONS), aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def send() -> bytes:
            async with session.post(url, data=_BODY) as answer:
                return await answer.read()

        yield send


@asynccontextmanager
async def _httpx_client(url: str) -> AsyncIterator[Send]:
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(limits=limits, timeout=_TIMEOUT_S) as client:

        async def send() -> bytes:
            return (await client.post(url, content=_BODY)).content

        yield send


CLIENTS = {"HttpClient": _own_client, "aiohttp": _aiohttp_client, "httpx": _httpx_client}


async def _measure(client: str, url: str, load: Load, min_requests: int) -> ClientCost:
    async with CLIENTS[client](url) as send:
        await asyncio.gather(*(send() for _ in range(load.open_connections)))
        rounds = max(1, min_requests // load.at_once)
        cpu_s, wall_s = _cpu_s(), time.perf_counter()
        for _ in range(rounds):
            await asyncio.gather(*(send() for _ in range(load.at_once)))
        return ClientCost(
            cpu_ms=(_cpu_s() - cpu_s) / (rounds * load.at_once) * 1e3, wall_s=(time.perf_counter() - wall_s) / rounds
        )


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        measured_client, measured_url, *numbers = sys.argv[1:]
        requests_at_once, connections, fewest = map(int, numbers)
        measured_load = Load(requests_at_once, connections)
        measured = uvloop.run(_measure(measured_client, measured_url, measured_load, fewest))
        sys.stdout.buffer.write(orjson.dumps(measured))
