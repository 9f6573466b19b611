"""The front of a server: a request is counted, given its session, led to its route, and answered whatever happens."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nemo_gym.errors import NemoGymError
from nemo_gym.serving.error_answers import response_for
from nemo_gym.serving.error_log import ErrorLog
from nemo_gym.serving.json_route import JsonRoute
from nemo_gym.serving.request_metrics import RequestMetrics
from nemo_gym.serving.sessions import Sessions

log = logging.getLogger(__name__)


class Front:
    """Stands inside of the middleware that authors add, and outside of FastAPI's own way to a route.

    That way costs more than most handlers: a `JsonRoute` without path parameters is called directly.
    """

    def __init__(self, app: ASGIApp, *, metrics: RequestMetrics, sessions: Sessions) -> None:
        self._app, self._metrics, self._sessions = app, metrics, sessions
        self._error_log = ErrorLog()
        self._direct: dict[tuple[str, str], JsonRoute] | None = None
        """By method and path. Made at the first request, when all routes are there."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        in_flight = self._metrics.in_flight
        begun = in_flight.begin(scope)
        try:
            if scope["method"] == "POST":
                answer.cookie = self._sessions.enter(scope)
            await self._answered(scope, receive, answer.send)
        except Exception as error:
            if answer.status is not None:
                raise
            if isinstance(error, NemoGymError):
                log.warning("%s %s: %s", scope["method"], scope["path"], error)
            else:
                self._error_log.record(f"{scope['method']} {scope['path']}", error)
            await response_for(error)(scope, receive, answer.send)
        finally:
            seconds = in_flight.end(begun)
            status = answer.status or 500
            route = scope.get("route")
            self._metrics.record("unknown" if route is None else route.path, status, seconds)
            if "session" in scope:
                await self._sessions.leave(scope, succeeded=status < 400)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = scope["app"]
        if self._direct is None:
            self._direct = _direct_routes(app.router.routes)
        route = self._direct.get((scope["method"], scope["path"]))
        if route is None or route.answer is None or scope.get("root_path"):
            await self._app(scope, receive, send)
            return
        scope.update(route=route, endpoint=route.endpoint, path_params={}, router=app.router)
        request = Request(scope, receive, send)
        try:
            response = await route.answer(request)
        except Exception as error:
            handler = _handler_for(error, app)
            if handler is None:
                raise
            response = handler(request, error)
            if inspect.isawaitable(response):
                response = await response
        await response(scope, receive, send)


class _Answer:
    """What is sent back: notes the status, and adds the session's cookie."""

    __slots__ = ("_send", "cookie", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.cookie: bytes | None = None
        self.status: int | None = None
        """None: nothing was sent yet."""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.cookie is not None:
                # With every answer, not only the first: some agents keep the cookies of the last answer only.
                message["headers"] = [*message.get("headers", ()), (b"set-cookie", self.cookie)]
        await self._send(message)


def _direct_routes(routes: Sequence[BaseRoute]) -> dict[tuple[str, str], JsonRoute]:
    """The routes that FastAPI would choose, by method and path, for the paths that stand for themselves."""
    direct: dict[tuple[str, str], JsonRoute] = {}
    for route in routes:
        if not isinstance(route, JsonRoute) or route.param_convertors:
            continue
        for method in route.methods or ():
            scope: Scope = {"type": "http", "method": method, "path": route.path, "headers": []}
            if next(each for each in routes if each.matches(scope)[0] is Match.FULL) is route:
                direct[method, route.path] = route
    return direct


def _handler_for(error: Exception, app: FastAPI) -> Callable[[Request, Exception], Any] | None:
    """The app's handler for such an exception, as FastAPI chooses it; one for `Exception` itself stands further out."""
    kinds: list[Any] = [error.status_code] if isinstance(error, HTTPException) else []
    kinds += [cls for cls in type(error).__mro__ if cls is not Exception]
    return next((app.exception_handlers[kind] for kind in kinds if kind in app.exception_handlers), None)
