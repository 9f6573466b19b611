"""Routes called directly answer as FastAPI would have had them answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.testclient import TestClient

from nemo_gym.serving.error_answers import refuse_invalid_body
from nemo_gym.serving.front import Front
from nemo_gym.serving.json_route import JsonRoute
from nemo_gym.serving.request_metrics import RequestMetrics
from nemo_gym.serving.sessions import Sessions, SessionStore


class Number(BaseModel):
    value: int


class NotPrimeError(Exception):
    pass


async def double(body: Number) -> dict[str, int]:
    return {"doubled": 2 * body.value}


async def prime(body: Number) -> dict[str, int]:
    raise NotPrimeError(str(body.value))


async def teapot() -> None:
    raise HTTPException(418, "short and stout", headers={"x-pot": "tea"})


async def counted(request: Request) -> dict[str, object]:
    request.session["n"] = request.session.get("n", 0) + 1
    return {"n": request.session["n"], "self": str(request.url_for("counted")), "params": request.path_params}


async def parts() -> Response:
    async def body() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    return StreamingResponse(body())


async def any_tool(name: str) -> dict[str, str]:
    return {"tool": name}


async def hidden() -> dict[str, str]:
    return {"tool": "never called"}


def app_of(*more: Middleware) -> FastAPI:
    sessions = Sessions(SessionStore(), instance="env", closing=frozenset({"/verify"}), keep_empty=True)
    app = FastAPI(middleware=[*more, Middleware(Front, metrics=RequestMetrics(), sessions=sessions)])
    app.router.route_class = JsonRoute
    for handler in (double, prime, teapot, counted, parts):
        app.post(f"/{handler.__name__}", name=handler.__name__)(handler)
    app.get("/tools/{name}")(any_tool)
    app.get("/tools/hidden")(hidden)
    return app


class WithoutShortcut:
    """Middleware that makes FastAPI lead each request to its route, as it does below a path."""

    def __init__(self, app: object) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, object], receive: object, send: object) -> None:
        if scope["type"] == "http":
            scope = {**scope, "root_path": "/below", "path": f"/below{scope['path']}"}
        await self.app(scope, receive, send)  # type: ignore[operator]


async def not_prime(request: Request, error: Exception) -> Response:
    return JSONResponse({"not prime": str(error)}, status_code=409)


def not_found(request: Request, error: Exception) -> Response:
    return JSONResponse({"nothing at": request.url.path.removeprefix("/below")}, status_code=404)


def client_of(*more: Middleware) -> TestClient:
    from fastapi.exceptions import RequestValidationError

    app = app_of(*more)
    app.add_exception_handler(NotPrimeError, not_prime)
    app.add_exception_handler(404, not_found)
    app.add_exception_handler(RequestValidationError, refuse_invalid_body)
    return TestClient(app)


REQUESTS = [
    ("POST", "/double", b'{"value": 4}'),
    ("POST", "/double", b'{"value": "four"}'),
    ("POST", "/double", b"{"),
    ("GET", "/double", b""),
    ("POST", "/prime", b'{"value": 4}'),
    ("POST", "/teapot", b""),
    ("POST", "/parts", b""),
    ("GET", "/tools/hidden", b""),
    ("GET", "/tools/other", b""),
    ("POST", "/nowhere", b""),
    ("POST", "/double/", b'{"value": 4}'),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_status_headers_and_body_are_those_of_the_long_way(method: str, path: str, body: bytes) -> None:
    direct, long_way = client_of(), client_of(Middleware(WithoutShortcut))
    answers = [client.request(method, path, content=body, follow_redirects=False) for client in (direct, long_way)]
    told = [(one.status_code, one.content, {**one.headers, "set-cookie": "", "location": ""}) for one in answers]
    assert told[0] == told[1]
    assert all(("set-cookie" in one.headers) == (method == "POST") for one in answers)


def test_a_direct_handler_has_its_session_and_can_name_its_url() -> None:
    client = client_of()
    client.post("/counted")
    assert client.post("/counted").json() == {"n": 2, "self": "http://testserver/counted", "params": {}}


def test_an_authors_middleware_stands_around_the_direct_routes_too() -> None:
    app = app_of()

    @app.middleware("http")
    async def mark(request: Request, call_next: object) -> Response:
        response: Response = await call_next(request)  # type: ignore[operator]
        response.headers["x-marked"] = "yes"
        return response

    answer = TestClient(app).post("/double", json={"value": 1})
    assert answer.json() == {"doubled": 2} and answer.headers["x-marked"] == "yes"


@pytest.mark.parametrize("more", [[], [Middleware(WithoutShortcut)]], ids=["direct", "the long way"])
def test_requests_are_counted_by_route_and_status(more: list[Middleware]) -> None:
    metrics = RequestMetrics()
    sessions = Sessions(SessionStore(), instance="env", closing=frozenset(), keep_empty=False)
    app = FastAPI(middleware=[*more, Middleware(Front, metrics=metrics, sessions=sessions)])
    app.router.route_class = JsonRoute
    app.post("/teapot")(teapot)
    client = TestClient(app)
    client.post("/teapot")
    client.post("/elsewhere/17")
    shown = metrics.render()
    assert 'ng_requests_total{route="/teapot",status="418"} 1' in shown
    assert 'ng_requests_total{route="unknown",status="404"} 1' in shown
    assert "ng_requests_in_progress 0" in shown
