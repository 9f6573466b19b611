"""Throughput of `/seed_session` and `/verify` beside bare FastAPI: `python -m tests.benchmarks.endpoints [--help]`.

Our server is the benchmarks' environment as `ng_run` starts it, with sessions, token, metrics and limits. Bare FastAPI
serves the same functions with the same types, and then with bodies that nobody checks. One client process sends the
same request over and over on 32 connections; the servers take turns, and the cheapest turn of each counts. Compared is
what each can answer in a second of CPU time, which is what a server that is busy all the time answers in a second: on a
machine that does other things too, that is the steadier figure.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import orjson
import uvloop

from tests.benchmarks.fake_agent import result
from tests.benchmarks.gym_under_test import benchmark_arguments, gym_under_test
from tests.benchmarks.local_server import local_server
from tests.benchmarks.process_stats import ProcessStat, rss_bytes
from tests.benchmarks.report import Report, Target
from tests.benchmarks.table import markdown_table
from tests.benchmarks.task_rows import task_row

OURS, BARE, UNCHECKED = "ours", "bare FastAPI", "bare FastAPI, bodies unchecked"
TURNS, SECONDS = 3, 1.5
_CONNECTIONS = 32
_ENDPOINTS = ("/verify", "/seed_session")


@dataclass(frozen=True)
class Speed:
    """What one server made of one endpoint."""

    requests_per_s: float
    cpu_ms: float
    """Of the server, per request."""


@dataclass(frozen=True)
class Endpoints:
    """What was measured."""

    speeds: dict[tuple[str, str], Speed]
    """By server and endpoint."""
    idle_mb: float
    """Memory of our server before its first request, MB (10^6 bytes)."""
    used_mb: float
    """After all that were sent to `/verify`; those to `/seed_session` leave sessions behind, which nobody closes."""

    def ratio(self, endpoint: str, to: str = BARE) -> float:
        """Our throughput as a part of theirs."""
        return self.speeds[to, endpoint].cpu_ms / self.speeds[OURS, endpoint].cpu_ms


def report(turns: int = TURNS, seconds: float = SECONDS) -> Report:
    """Both endpoints of the three servers."""
    found = measure_endpoints(turns, seconds)
    return Report((endpoint_table(found),), tuple(targets(found)))


def measure_endpoints(turns: int, seconds: float) -> Endpoints:
    """Each server and endpoint so many turns of so many seconds."""
    bodies = {"/seed_session": orjson.dumps(task_row(0)), "/verify": orjson.dumps(_verify_request())}
    with (
        local_server("tests.benchmarks.fake_model") as model,
        local_server("tests.benchmarks.bare_fastapi") as bare,
        tempfile.TemporaryDirectory() as folder,
        gym_under_test(Path(folder), benchmark_arguments(model.url)) as gym,
    ):
        our = gym.servers["benchmark"]
        pid = our.pid or 0
        idle_mb = rss_bytes(pid) / 1e6
        places = {OURS: (our.url, pid), BARE: (bare.url, bare.pid), UNCHECKED: (f"{bare.url}/unchecked", bare.pid)}
        speeds: dict[tuple[str, str], Speed] = {}
        used_mb = []
        for endpoint in _ENDPOINTS:
            for server, (url, server_pid) in [*places.items()] * turns:
                request = _request(url + endpoint, bodies[endpoint], gym.authorization())
                speed = uvloop.run(_speed(url, request, server_pid, seconds))
                best = speeds.get((server, endpoint))
                if best is None or speed.cpu_ms < best.cpu_ms:
                    speeds[server, endpoint] = speed
            used_mb.append(rss_bytes(pid) / 1e6)
        return Endpoints(speeds, idle_mb, used_mb[0])


def _verify_request() -> dict[str, Any]:
    """A row with a short response, as an agent sends it."""
    response = cast("dict[str, Any]", result(tool_calls=1)["response"])
    own = {"created_at": 0, "model": "m", "tools": [], "parallel_tool_calls": True, "tool_choice": "auto"}
    return {**task_row(0), "response": {**response, **own}}


def _request(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    parts = urlsplit(url)
    lines = {"host": parts.netloc, "content-type": "application/json", "content-length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {parts.path} HTTP/1.1\r\n{head}\r\n".encode() + body


class _Asking(asyncio.Protocol):
    """Sends the same request again as soon as it is answered."""

    def __init__(self, request: bytes) -> None:
        self.answers = 0
        self._request, self._received = request, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(self._received[:500].decode())
        if len(body) >= int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0]):
            self._received = b""
            self.answers += 1
            self.transport.write(self._request)


async def _speed(url: str, request: bytes, pid: int, seconds: float) -> Speed:
    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    asking = [
        (await loop.create_connection(lambda: _Asking(request), parts.hostname, parts.port))[1]
        for _ in range(_CONNECTIONS)
    ]
    await asyncio.sleep(seconds / 4)
    answers, cpu_s, started = sum(each.answers for each in asking), _cpu_s(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    answers = sum(each.answers for each in asking) - answers
    speed = Speed(answers / (time.perf_counter() - started), (_cpu_s(pid) - cpu_s) / answers * 1e3)
    for each in asking:
        each.transport.abort()
    return speed


def _cpu_s(pid: int) -> float:
    stat = ProcessStat.read(pid)
    return stat.cpu_s if stat else 0.0


def endpoint_table(found: Endpoints) -> str:
    """Requests per second and CPU by server."""
    servers = list(dict.fromkeys(server for server, _ in found.speeds))
    rows = []
    for endpoint in _ENDPOINTS:
        speeds = [found.speeds[server, endpoint] for server in servers]
        rows.append([endpoint, *(f"{speed.requests_per_s:.0f}/s, {speed.cpu_ms:.2f} ms" for speed in speeds)])
    return markdown_table(["endpoint", *servers], rows)


def targets(found: Endpoints) -> list[Target]:
    """Throughput and memory."""
    return [
        *(
            Target(
                f"throughput of {endpoint}",
                "60 % of bare FastAPI",
                f"{100 * found.ratio(endpoint):.0f} %",
                found.ratio(endpoint) >= 0.6,
                f"{100 * found.ratio(endpoint, UNCHECKED):.0f} % of it with bodies unchecked",
            )
            for endpoint in _ENDPOINTS
        ),
        Target(
            "memory of a trivial server", "60 MB", f"{found.used_mb:.0f} MB", found.used_mb <= 60,
            f"{found.idle_mb:.0f} MB before its first request",
        ),
    ]  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.endpoints", description=__doc__)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a turn of one server on one endpoint")
    options = parser.parse_args(argv)
    print(report(options.turns, options.seconds))


if __name__ == "__main__":
    main()
