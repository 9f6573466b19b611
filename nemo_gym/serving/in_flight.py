"""What a server has in flight: one small object per request, which says what is waited for, and since when."""

from __future__ import annotations

import heapq
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token

from pydantic import BaseModel, ConfigDict
from starlette.types import Scope

from nemo_gym.schemas.rollout import ROLLOUT_ID, ROLLOUT_ID_HEADER, ROLLOUT_INDEX, TASK_INDEX
from nemo_gym.serving.json_route import body_of

IN_FLIGHT_ROUTE = "/in_flight"
"""Where every server tells what it has in flight."""
TOLD = 100
"""So many requests, those that have waited longest."""
_MAX_PATH = 200
_ROLLOUT_PREFIX = "/ng-rollout/"
_HEADER = ROLLOUT_ID_HEADER.encode()
_NONE: Scope = {}

_current: ContextVar[Work | None] = ContextVar("nemo_gym_work", default=None)


class Waiting(BaseModel):
    """One request in flight, as `GET /in_flight` lists it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    """What the server was asked for."""
    rollout_id: str | None
    task_index: int | None
    rollout_index: int | None
    """None where the request does not tell, as model calls do not."""
    what: str
    """What is waited for: `model call 3`, `tool search`, `verify`, `a free slot`; empty: nothing, the server is at it
    itself."""
    whom: str
    """Who is to give it: an instance of the run, or a URL; empty with `what`."""
    waiting_s: float
    """Since when; where nothing is waited for, since anything was."""
    total_s: float
    """Since the request came."""


class InFlightReport(BaseModel):
    """What `GET /in_flight` answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests: int
    """All that are in flight, but not this one."""
    longest: list[Waiting]
    """Those that have waited longest, the longest first."""


class _Wait:
    """As a context manager: as long as the request that is being served waits."""

    __slots__ = ("_work", "since", "what", "whom")

    def __init__(self, whom: str, what: str) -> None:
        self.whom, self.what, self.since = whom, what, 0.0
        self._work = _current.get()

    def __enter__(self) -> None:
        if self._work is not None:
            self.since = time.monotonic()
            self._work.waits.append(self)

    def __exit__(self, *_: object) -> None:
        if self._work is not None:
            self._work.waits.remove(self)
            self._work.waited_until = time.monotonic()


class Work:
    """One request that is being served. What its report needs beside is looked up only when somebody asks."""

    __slots__ = ("began", "scope", "waited_until", "waits")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.began = self.waited_until = time.monotonic()
        self.waits: list[_Wait] = []

    @property
    def since(self) -> float:
        """When the oldest of what is waited for began, or the last of it ended."""
        return self.waits[0].since if self.waits else self.waited_until

    def report(self, now: float) -> Waiting:
        body = body_of(self.scope)
        row = body if isinstance(body, dict) else {}
        oldest = self.waits[0] if self.waits else None
        return Waiting(
            path=self.scope["path"][:_MAX_PATH],
            rollout_id=_rollout_id(self.scope, row),
            task_index=_index(row, TASK_INDEX),
            rollout_index=_index(row, ROLLOUT_INDEX),
            what=oldest.what if oldest else "",
            whom=oldest.whom if oldest else "",
            waiting_s=now - self.since,
            total_s=now - self.began,
        )


class InFlight:
    """All work of one server process."""

    def __init__(self) -> None:
        self._works: set[Work] = set()

    def __len__(self) -> int:
        return len(self._works)

    def begin(self, scope: Scope) -> tuple[Work, Token[Work | None]]:
        """Note a request, for which `waiting_for` stands until `end` is called with what is returned."""
        work = Work(scope)
        self._works.add(work)
        return work, _current.set(work)

    def end(self, begun: tuple[Work, Token[Work | None]]) -> float:
        """Seconds that it took."""
        work, token = begun
        self._works.discard(work)
        work.scope = _NONE  # whatever was begun meanwhile, such as a connection that is kept, goes on knowing this work
        _current.reset(token)
        return time.monotonic() - work.began

    def report(self) -> InFlightReport:
        asking, now = _current.get(), time.monotonic()
        works = [work for work in self._works if work is not asking]
        longest = heapq.nsmallest(TOLD, works, key=lambda work: work.since)
        return InFlightReport(requests=len(works), longest=[work.report(now) for work in longest])


def waiting_for(whom: str, what: str) -> AbstractContextManager[None]:
    """Inside, the request that is being served waits for that. Of waits within each other the outer one is told."""
    return _Wait(whom, what)


def _rollout_id(scope: Scope, row: Mapping[str, object]) -> str | None:
    """As the header, the path, or the body says."""
    for name, value in scope["headers"]:
        if name == _HEADER:
            return str(value.decode("latin-1"))
    path: str = scope["path"]
    if path.startswith(_ROLLOUT_PREFIX):
        return path.removeprefix(_ROLLOUT_PREFIX).partition("/")[0]
    named = row.get(ROLLOUT_ID)
    return named if isinstance(named, str) else None


def _index(row: Mapping[str, object], key: str) -> int | None:
    value = row.get(key)
    return value if isinstance(value, int) else None
