"""Requests after idle gaps, none met by a stale connection: `python -m tests.benchmarks.idle_gaps [--help]`.

Many clients with a connection of their own send a POST, wait, and send the next, to a server that closes connections
after so many idle seconds. A POST that meets a connection which the server is just closing has failed: nobody can know
whether it was processed. So most gaps of the short form end within milliseconds of the server's time limit.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
from collections import Counter
from dataclasses import dataclass

import uvicorn
import uvloop

from nemo_gym.errors import RequestError
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.process import KEEPALIVE_S
from tests.benchmarks.bare_server import app
from tests.benchmarks.report import Report, Target

FOREIGN_KEEPALIVE_S = 5
"""What uvicorn closes connections after unless told otherwise, and so vLLM and most endpoints in Python."""


@dataclass(frozen=True)
class Gaps:
    """What came of requests after gaps."""

    keepalive_s: int
    """Of the server."""
    requests: int
    connections: int
    """That the server accepted."""
    errors: dict[str, int]
    """By message."""


def report(minutes: float | None = None) -> Report:
    """The short form, or with `minutes` the soak."""
    found = uvloop.run(short() if minutes is None else soak(minutes))
    said = "; ".join(f"server closes after {each.keepalive_s} s: {each.connections:,} connections" for each in found)
    return Report((said,), tuple(targets(found)))


async def measure_gaps(keepalive_s: int, clients: int, gaps: list[list[float]]) -> Gaps:
    """Client number i waits as long as `gaps[i]` says, one after another; seconds."""
    accepted: set[object] = set()

    class Counted(uvicorn.protocols.http.httptools_impl.HttpToolsProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            accepted.add(self)
            super().connection_made(transport)

    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    config = uvicorn.Config(app, http=Counted, ws="none", lifespan="off", log_level="warning", access_log=False)
    config.timeout_keep_alive = keepalive_s
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/100"
    errors: Counter[str] = Counter()

    async def run(pauses: list[float]) -> None:
        http = HttpClient()
        for pause in [*pauses, 0.0]:
            try:
                (await http.request("POST", url, body=b"{}")).raise_for_status()
            except RequestError as error:
                errors[str(error).partition(" (")[0]] += 1
            await asyncio.sleep(pause)
        await http.close()

    await asyncio.gather(*(run(pauses) for pauses in gaps[:clients]))
    server.should_exit = True
    await serving
    return Gaps(keepalive_s, sum(len(pauses) + 1 for pauses in gaps[:clients]), len(accepted), dict(errors))


def around(limit_s: float, clients: int, times: int) -> list[list[float]]:
    """Gaps that end from 20 ms before to 10 ms after a server's time limit."""
    rng = random.Random(0)
    return [[limit_s + rng.uniform(-0.02, 0.01) for _ in range(times)] for _ in range(clients)]


def between(least_s: float, most_s: float, clients: int, seconds: float) -> list[list[float]]:
    """Gaps of any length between two, until so many seconds are filled."""
    rng = random.Random(0)
    found = []
    for _ in range(clients):
        gaps: list[float] = []
        while sum(gaps) < seconds:
            gaps.append(rng.uniform(least_s, most_s))
        found.append(gaps)
    return found


def targets(found: list[Gaps]) -> list[Target]:
    """Whether no request failed."""
    return [
        Target(
            f"idle gaps, server closes after {each.keepalive_s} s: stale-socket errors",
            "0",
            f"{sum(each.errors.values())} of {each.requests:,}",
            not each.errors,
            "; ".join(f"{count} x {error}" for error, count in each.errors.items()),
        )
        for each in found
    ]


async def short(clients: int = 500) -> list[Gaps]:
    """Some seconds, at the limit of a foreign endpoint."""
    return [await measure_gaps(FOREIGN_KEEPALIVE_S, clients, around(FOREIGN_KEEPALIVE_S, clients, 2))]


async def soak(minutes: float, clients: int = 200) -> list[Gaps]:
    """Gaps of 1 to 60 s, against a foreign endpoint and a server of ours at once."""
    gaps = between(1, 60, clients, 60 * minutes)
    return list(
        await asyncio.gather(*(measure_gaps(limit, clients, gaps) for limit in (FOREIGN_KEEPALIVE_S, KEEPALIVE_S)))
    )


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.idle_gaps", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, help="the soak: gaps of 1 to 60 s for so long, instead of the short form"
    )
    options = parser.parse_args(argv)
    print(report(options.minutes))


if __name__ == "__main__":
    main()
