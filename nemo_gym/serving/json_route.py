"""The route of a handler: a JSON body in, checked once; data out, written once; and an end when the client is gone."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar, get_origin

import orjson
from fastapi.exceptions import RequestValidationError
from fastapi.params import Body
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from nemo_gym.serving.cancellation import while_connected
from nemo_gym.serving.http import to_json

T = TypeVar("T")

_JSON_BODY = "nemo_gym.json_body"


class JsonRoute(APIRoute):
    """Serves handlers whose parameters are at most a `Request` and one body in half of FastAPI's time.

    What the handler returns is not validated again. Handlers with any other parameter are served by FastAPI as usual.
    Both are cancelled when the client disconnects.
    """

    answer: Callable[[Request], Coroutine[Any, Any, Response]] | None = None
    """Serves a request whose route is known without FastAPI; None where it is needed."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        shape = _HandlerShape.of(self)
        if shape is None:
            return _while_connected(super().get_route_handler())
        handler: Callable[..., Awaitable[object]] = self.endpoint
        status = self.status_code or 200

        async def answer(request: Request) -> Response:
            arguments: dict[str, object] = {}
            if shape.body is not None and shape.body_type is not None:
                arguments[shape.body] = await _checked_body(request, shape.body_type)
            if shape.request is not None:
                arguments[shape.request] = request
            result = await handler(**arguments)
            if isinstance(result, Response):
                return result
            return Response(to_json(result), status_code=status, media_type="application/json")

        self.answer = _while_connected(answer)
        return self.answer


def _while_connected(
    serve: Callable[[Request], Coroutine[Any, Any, Response]],
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """`serve`, cancelled when its client is gone."""

    async def answer(request: Request) -> Response:
        await request.body()  # else a disconnect could not be told from the rest of the body
        return await while_connected(request, serve(request))

    return answer


def json_body(request: Request) -> Any:
    """The request's body as it was parsed before it was checked, for handlers that pass it on as it came."""
    return request.scope[_JSON_BODY]


def body_of(scope: Scope) -> object:
    """The parsed body of a request that is being served; None where it is not parsed yet, or not here."""
    return scope.get(_JSON_BODY)


@dataclass(frozen=True)
class _HandlerShape:
    """Names of the parameters of a handler that `JsonRoute` can serve by itself."""

    request: str | None
    body: str | None
    body_type: TypeAdapter[Any] | None

    @classmethod
    def of(cls, route: APIRoute) -> _HandlerShape | None:
        """None where FastAPI is needed: other parameters, dependencies, a response class of its own."""
        dependant = route.dependant
        plain = not (
            dependant.dependencies
            or dependant.path_params
            or dependant.query_params
            or dependant.header_params
            or dependant.cookie_params
            or dependant.background_tasks_param_name
            or dependant.response_param_name
            or dependant.http_connection_param_name
            or dependant.security_scopes_param_name
            or len(dependant.body_params) > 1
        )
        if not plain or not inspect.iscoroutinefunction(route.endpoint):
            return None
        if not dependant.body_params:
            return cls(dependant.request_param_name, None, None)
        [field] = dependant.body_params
        annotation = field.field_info.annotation
        assert annotation is not None
        is_object = annotation is dict or get_origin(annotation) is dict
        is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        embedded = isinstance(field.field_info, Body) and field.field_info.embed
        if embedded or not field.field_info.is_required() or not (is_object or is_model):
            return None
        return cls(dependant.request_param_name, field.name, TypeAdapter(annotation))


def check_body(parsed: object, body_type: TypeAdapter[T]) -> T:
    """Parsed JSON as the type of a body. Raises `RequestValidationError` (HTTP 422) naming each mistake's place."""
    try:
        return body_type.validate_python(parsed)
    except ValidationError as error:
        # Places start with `body`, as FastAPI's do.
        details = [{**detail, "loc": ("body", *detail["loc"])} for detail in error.errors(include_url=False)]
        raise RequestValidationError(details) from None


async def _checked_body(request: Request, body_type: TypeAdapter[Any]) -> Any:
    content = await request.body()
    try:
        parsed = request.scope[_JSON_BODY] = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        detail = {"type": "json_invalid", "loc": ("body",), "msg": f"the body is no JSON: {error}", "input": {}}
        raise RequestValidationError([detail]) from None
    return check_body(parsed, body_type)
