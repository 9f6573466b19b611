"""What a server logs when its handlers raise."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from nemo_gym.serving.error_log import ErrorLog
from nemo_gym.serving.front import Front
from nemo_gym.serving.json_route import JsonRoute
from nemo_gym.serving.request_metrics import RequestMetrics
from nemo_gym.serving.sessions import Sessions, SessionStore


class Number(BaseModel):
    value: int


async def divide(body: Number) -> float:
    return quotient(10, body.value)


def quotient(a: int, b: int) -> float:
    if b < 0:
        raise ValueError(f"{b} is negative")
    return a / b


@pytest.fixture
def client() -> TestClient:
    sessions = Sessions(SessionStore(), instance="env", closing=frozenset(), keep_empty=False)
    app = FastAPI(middleware=[Middleware(Front, metrics=RequestMetrics(), sessions=sessions)])
    app.router.route_class = JsonRoute
    app.post("/divide")(divide)
    return TestClient(app)


def test_a_traceback_begins_in_the_handler_and_holds_no_frame_of_the_framework(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.post("/divide", json={"value": 0})
    assert "POST /divide failed" in caplog.text and "ZeroDivisionError: division by zero" in caplog.text
    assert "in divide" in caplog.text and "in quotient" in caplog.text
    assert "starlette" not in caplog.text and "fastapi" not in caplog.text and "json_route" not in caplog.text


def test_the_same_failure_shows_its_traceback_once_and_its_message_each_time(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    for value in (-1, -2, -3):
        client.post("/divide", json={"value": value})
    assert caplog.text.count("Traceback") == 1
    assert caplog.messages[1:] == [
        "POST /divide failed as before: ValueError: -2 is negative",
        "POST /divide failed as before: ValueError: -3 is negative",
    ]


def test_another_line_that_raises_shows_its_own_traceback(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    client.post("/divide", json={"value": -1})
    client.post("/divide", json={"value": 0})
    assert caplog.text.count("Traceback") == 2


def test_an_error_without_a_handler_keeps_all_it_has(caplog: pytest.LogCaptureFixture) -> None:
    ErrorLog().record("GET /", RuntimeError("raised nowhere"))
    assert "RuntimeError: raised nowhere" in caplog.text
