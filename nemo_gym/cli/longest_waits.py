"""What the servers of a run wait for longest, in sentences: which rollout, at which stage, at whose side, how long."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from nemo_gym.cli.server_table import name_of
from nemo_gym.errors import RequestError, Unreachable
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.in_flight import IN_FLIGHT_ROUTE, InFlightReport, Waiting
from nemo_gym.serving.run_token import bearer
from nemo_gym.serving.runs import ServerStatus

ASK_TIMEOUT_S = 2.0
SHOWN = 5
MAX_HOPS = 4
AGENTS = "responses_api_agents"


@dataclass(frozen=True)
class Told:
    """What one server process said."""

    status: ServerStatus
    report: InFlightReport | None
    """None where it did not say."""
    silent: bool = False
    """Whether it did not answer at all."""


async def ask_servers(statuses: Sequence[ServerStatus], token: str | None) -> list[Told]:
    """What each ready server has in flight; takes at most `ASK_TIMEOUT_S`."""
    http = HttpClient()
    try:
        return await asyncio.gather(*(_ask(http, each, token) for each in statuses if each.state == "ready"))
    finally:
        await http.close()


async def _ask(http: HttpClient, status: ServerStatus, token: str | None) -> Told:
    try:
        url = status.url + IN_FLIGHT_ROUTE
        answer = await http.request("GET", url, headers=bearer(token), timeout_s=ASK_TIMEOUT_S)
        return Told(status, InFlightReport.model_validate_json(answer.body) if answer.ok else None)
    except Unreachable:
        return Told(status, None)  # it is being started again: the table says so
    except RequestError:
        return Told(status, None, silent=True)
    except ValidationError:
        return Told(status, None)


def sentences(told: Sequence[Told], longer_than_s: float) -> list[str]:
    """Servers that are silent, then the `SHOWN` longest waits of more than that, and how many more there are."""
    lines = [
        f"{name_of(each.status)} (pid {each.status.pid}) does not answer: a handler holds up its event loop, or its "
        "process is stopped"
        for each in told
        if each.silent
    ]
    reports = _Reports(told)
    waits = sorted(reports.of_rollouts(longer_than_s), key=lambda one: -one[1].waiting_s)
    waits += sorted(reports.of_nobody_told(waits, longer_than_s), key=lambda one: -one[1].waiting_s)
    lines += [reports.sentence(server, waiting) for server, waiting in waits[:SHOWN]]
    if len(waits) > SHOWN:
        whom = Counter(waiting.whom or server for server, waiting in waits[SHOWN:])
        listed = ", ".join(f"{count} for {name}" for name, count in whom.most_common(3))
        lines.append(f"and {len(waits) - SHOWN} more, of which wait {listed}")
    return [_printable(line) for line in lines]


class _Reports:
    """What all servers said, by instance."""

    def __init__(self, told: Sequence[Told]) -> None:
        self._agents: set[str] = set()
        self._waits: dict[str, list[Waiting]] = {}
        for each in told:
            if each.status.server_type == AGENTS:
                self._agents.add(each.status.name)
            if each.report is not None:
                self._waits.setdefault(each.status.name, []).extend(each.report.longest)

    def of_rollouts(self, longer_than_s: float) -> list[tuple[str, Waiting]]:
        """Instance and request of each rollout that agents have in flight."""
        waits = [(name, one) for name in self._agents for one in self._waits.get(name, ())]
        return [(name, one) for name, one in waits if one.waiting_s > longer_than_s]

    def of_nobody_told(self, told: Sequence[tuple[str, Waiting]], longer_than_s: float) -> list[tuple[str, Waiting]]:
        """The others, but for those that a rollout's sentence tells of."""
        named = {id(one) for _, waiting in told for _, one in self._chain(waiting)}
        return [
            (name, one)
            for name, waits in self._waits.items()
            if name not in self._agents
            for one in waits
            if one.waiting_s > longer_than_s and id(one) not in named
        ]

    def sentence(self, server: str, waiting: Waiting) -> str:
        """`task 3, rollout 0 (agent): model call 4 of policy_model for 9.1 s; there: an answer of <URL> for 9.0 s`"""
        parts = [f"{_whose(waiting)} ({server}): {_what(waiting)}"]
        parts += [f"there: {_what(one)}" for _, one in self._chain(waiting)]
        return "; ".join(parts)

    def _chain(self, waiting: Waiting) -> list[tuple[str, Waiting]]:
        """What the one waited for waits for itself, and so on, as far as it is known to be for the same rollout."""
        chain: list[tuple[str, Waiting]] = []
        rollout_id = waiting.rollout_id
        while rollout_id is not None and waiting.whom in self._waits and len(chain) < MAX_HOPS:
            same = [one for one in self._waits[waiting.whom] if one.rollout_id == rollout_id]
            if not same:
                break
            chain.append((waiting.whom, same[0]))
            waiting = same[0]
        return chain


def _printable(line: str) -> str:
    """Paths and ids are what clients sent: nothing of them is to act on a terminal."""
    return "".join(letter if letter.isprintable() else "�" for letter in line)


def _whose(waiting: Waiting) -> str:
    if waiting.task_index is not None:
        return f"task {waiting.task_index}, rollout {waiting.rollout_index}"
    return f"{waiting.path} of rollout {waiting.rollout_id}" if waiting.rollout_id else waiting.path


def _what(waiting: Waiting) -> str:
    seconds = f"for {waiting.waiting_s:.1f} s" if waiting.waiting_s < 100 else f"for {waiting.waiting_s:.0f} s"
    return f"{waiting.what} of {waiting.whom} {seconds}" if waiting.what else f"{waiting.path} is at work {seconds}"
