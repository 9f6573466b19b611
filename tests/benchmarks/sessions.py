"""Sessions over several workers, none misrouted: `python -m tests.benchmarks.sessions [--help]`.

All sessions are opened before the second call of any is made; then their calls come in random order. Of four sessions,
one is carried by its cookie, one by `X-Session-ID` with the id that its cookie holds, one by an id of the caller's own,
and one by both that id and the cookie.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from nemo_gym.rollouts.running_servers import HeadServerAddress, running_servers
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.sessions import id_in, session_cookie_name
from tests.benchmarks.gym_under_test import GymUnderTest, benchmark_arguments, gym_under_test
from tests.benchmarks.local_server import local_server
from tests.benchmarks.report import Report, Target

SERVER = "benchmark"
WORKERS = 8
SESSIONS = 10_000
CALLS = 3
"""Of each session."""
_CONCURRENCY = 64


@dataclass
class Session:
    """One of them, as its caller knows it."""

    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    pids: set[int] = field(default_factory=set)
    """Of the workers that served it."""
    counts: list[int] = field(default_factory=list)

    def is_right(self) -> bool:
        """Whether one worker served it throughout, and it was nobody else's."""
        return self.counts == list(range(1, CALLS + 1)) and len(self.pids) == 1


@dataclass(frozen=True)
class Sessions:
    """What came of them."""

    workers: int
    sessions: int
    misrouted: int
    by_worker: list[int]
    """Sessions of each worker."""
    left: int
    """Sessions that servers still hold after the last call."""
    requests_per_s: float

    @property
    def imbalance(self) -> float:
        """How far the worker that differs most is from an equal share, as a part of that."""
        share = self.sessions / self.workers
        return max(abs(count - share) for count in self.by_worker) / share


def report(workers: int = WORKERS, sessions: int = SESSIONS) -> Report:
    """Whether each session stays where it began, and how evenly they are spread."""
    found = measure_sessions(workers, sessions)
    by_worker = ", ".join(map(str, sorted(found.by_worker)))
    said = f"{found.requests_per_s:.0f} requests/s; sessions by worker: {by_worker}"
    return Report((said,), tuple(targets(found)))


def measure_sessions(workers: int, sessions: int) -> Sessions:
    """On a resources server with so many workers."""
    with (
        local_server("tests.benchmarks.fake_model") as model,
        tempfile.TemporaryDirectory() as folder,
        gym_under_test(Path(folder), benchmark_arguments(model.url, benchmark=workers)) as gym,
    ):
        return uvloop.run(_measure(gym, workers, sessions))


async def _measure(gym: GymUnderTest, workers: int, number: int) -> Sessions:
    http = HttpClient()
    try:
        host, _, port = gym.head_url.removeprefix("http://").rpartition(":")
        client = await running_servers(HeadServerAddress(host=host, port=int(port)), http)
        rng = random.Random(0)
        kinds = [_carried_by_cookie, _carried_by_its_id, _carried_by_own_id, _carried_by_both]
        sessions = [Session() for _ in range(number)]
        for index, session in enumerate(sessions):
            if kinds[index % 4] in (_carried_by_own_id, _carried_by_both):
                session.headers["X-Session-ID"] = f"rollout-{index}"
        started = time.perf_counter()
        await _each(sessions, lambda session: _count(client, session))
        for index, session in enumerate(sessions):
            kinds[index % 4](session)
        for _ in range(CALLS - 1):
            rng.shuffle(sessions)
            await _each(sessions, lambda session: _count(client, session))
        await _each(sessions, lambda session: _close(client, session))
        seconds = time.perf_counter() - started
        left = sum([await _open_sessions(http, gym, url) for url in client.directory[SERVER].urls])
    finally:
        await http.close()
    by_worker = Counter(pid for session in sessions for pid in session.pids)
    return Sessions(
        workers=workers,
        sessions=number,
        misrouted=sum(not session.is_right() for session in sessions),
        by_worker=[*by_worker.values(), *[0] * (workers - len(by_worker))],
        left=left,
        requests_per_s=number * (CALLS + 1) / seconds,
    )


async def _count(client: ServerClient, session: Session) -> None:
    answer = await client.post(SERVER, "/count", {}, headers=session.headers, cookies=session.cookies)
    answer.raise_for_status()
    session.cookies |= answer.cookies
    session.counts.append(answer.parse()["count"])
    session.pids.add(answer.parse()["pid"])


async def _close(client: ServerClient, session: Session) -> None:
    answer = await client.post(SERVER, "/close", {}, headers=session.headers, cookies=session.cookies)
    answer.raise_for_status()


def _carried_by_cookie(session: Session) -> None:
    session.headers.clear()


def _carried_by_its_id(session: Session) -> None:
    session.headers["X-Session-ID"] = id_in(session.cookies.pop(session_cookie_name(SERVER)))


def _carried_by_own_id(session: Session) -> None:
    session.cookies.clear()


def _carried_by_both(session: Session) -> None:
    """As it is after its first call."""


async def _each(sessions: list[Session], call: Callable[[Session], Awaitable[None]]) -> None:
    waiting = iter(list(sessions))

    async def work() -> None:
        for session in waiting:
            await call(session)

    await asyncio.gather(*(work() for _ in range(_CONCURRENCY)))


async def _open_sessions(http: HttpClient, gym: GymUnderTest, url: str) -> int:
    metrics = (await http.request("GET", f"{url}/metrics", headers=gym.authorization())).text
    return next(int(line.split()[1]) for line in metrics.splitlines() if line.startswith("ng_sessions "))


def targets(found: Sessions) -> list[Target]:
    """Whether none was misrouted and all workers had as many."""
    what = f"{found.sessions:,} sessions at once, {found.workers} workers"
    return [
        Target(f"{what}: misrouted", "0", str(found.misrouted), found.misrouted == 0),
        Target(f"{what}: load", "± 15 %", f"± {100 * found.imbalance:.1f} %", found.imbalance <= 0.15),
        Target(f"{what}: left behind", "0", str(found.left), found.left == 0),
    ]


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sessions", description=__doc__)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="all together, open at once")
    options = parser.parse_args(argv)
    print(report(options.workers, options.sessions))


if __name__ == "__main__":
    main()
