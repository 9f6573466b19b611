"""What a server has in flight: who waits for whom, and since when."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextvars import Context
from typing import Any

import pytest
from fastapi import FastAPI

from nemo_gym.serving.app import SimpleServer
from nemo_gym.serving.in_flight import TOLD, InFlight, InFlightReport, Waiting, waiting_for
from nemo_gym.testclient import InProcessGym

ROW = {"_ng_task_index": 7, "_ng_rollout_index": 2, "_ng_rollout_id": "abc-7-2", "responses_create_params": {}}


def scope(path: str = "/run", *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http", "method": "POST", "path": path, "headers": list(headers)}


def seen(table: InFlight) -> InFlightReport:
    """What another request is told."""
    return Context().run(table.report)


def only(report: InFlightReport) -> Waiting:
    [waiting] = report.longest
    return waiting


def test_of_waits_within_each_other_the_outer_one_is_told() -> None:
    table = InFlight()
    begun = table.begin(scope())
    with waiting_for("policy_model", "model call 3"), waiting_for("policy_model", "POST /v1/responses"):
        waiting = only(seen(table))
    assert (waiting.what, waiting.whom) == ("model call 3", "policy_model")
    waiting = only(seen(table))
    assert (waiting.what, waiting.whom) == ("", "")
    table.end(begun)
    assert seen(table) == InFlightReport(requests=0, longest=[])


async def test_of_waits_side_by_side_the_oldest_is_told_until_it_ends() -> None:
    table, over = InFlight(), asyncio.Event()
    begun = table.begin(scope())

    async def wait(what: str) -> None:
        with waiting_for("env", what):
            await over.wait()

    slow = asyncio.create_task(wait("tool slow"))
    await asyncio.sleep(0)
    with waiting_for("env", "tool quick"):
        assert only(seen(table)).what == "tool slow"
        over.set()
        await slow
        assert only(seen(table)).what == "tool quick"
    table.end(begun)


def test_nothing_is_noted_where_no_request_is_served() -> None:
    with waiting_for("policy_model", "an answer"):
        assert InFlight().report().longest == []


@pytest.mark.parametrize(
    ("asked", "rollout_id"),
    [
        (scope("/v1/responses", (b"x-ng-rollout-id", b"abc-7-2")), "abc-7-2"),
        (scope("/ng-rollout/abc-7-2/v1/responses"), "abc-7-2"),
        (scope("/v1/responses"), None),
    ],
)
def test_the_rollout_is_named_by_header_or_path(asked: dict[str, Any], rollout_id: str | None) -> None:
    table = InFlight()
    begun = table.begin(asked)
    assert only(seen(table)).rollout_id == rollout_id
    table.end(begun)


async def test_what_outlives_a_request_does_not_keep_its_body() -> None:
    class Body(dict[str, Any]):
        """Weakly known, as plain dicts cannot be."""

    table, body = InFlight(), Body()
    known = weakref.ref(body)
    begun = table.begin({**scope(), "nemo_gym.json_body": body})
    outliving = asyncio.create_task(asyncio.Event().wait())
    table.end(begun)
    del begun, body
    gc.collect()
    assert known() is None
    outliving.cancel()


def test_only_the_longest_waits_are_told_of_many() -> None:
    table = InFlight()
    for number in range(3 * TOLD):
        table.begin(scope(f"/{number}"))
    report = seen(table)
    assert report.requests == 3 * TOLD
    assert [one.path for one in report.longest] == [f"/{number}" for number in range(TOLD)]


class Slow(SimpleServer):
    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/run")(self.run)
        return app

    async def run(self, body: dict[str, Any]) -> str:
        with waiting_for("env", "verify"):
            await asyncio.sleep(0.05)
        return "done"


async def test_a_server_tells_of_a_request_by_its_rollout_and_not_of_who_asks() -> None:
    async with InProcessGym() as gym:
        server = gym.add("agent", Slow)
        assert InFlightReport.model_validate((await gym.client.get("agent", "/in_flight")).parse()).requests == 0
        running = asyncio.create_task(gym.client.post("agent", "/run", ROW))
        while not len(server._request_metrics.in_flight):  # noqa: ASYNC110  a server's state has no event to wait for
            await asyncio.sleep(0)
        report = InFlightReport.model_validate((await gym.client.get("agent", "/in_flight")).parse())
        waiting = only(report)
        assert (waiting.path, waiting.what, waiting.whom) == ("/run", "verify", "env")
        assert (waiting.task_index, waiting.rollout_index, waiting.rollout_id) == (7, 2, "abc-7-2")
        assert (await running).parse() == "done"
        assert len(server._request_metrics.in_flight) == 0
