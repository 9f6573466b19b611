"""Turns a handler's answer into bytes once: no second validation of what the handler has just built."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from nemo_gym.serving.http import to_json


def json_endpoint(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Response]]:
    """A FastAPI endpoint with the parameters of `handler`, that writes what it returns (a model or plain data) as JSON.

    A handler may return a `Response` of its own, which is sent as it is.
    """

    @functools.wraps(handler)
    async def endpoint(*args: Any, **kwargs: Any) -> Response:
        answer = await handler(*args, **kwargs)
        return answer if isinstance(answer, Response) else Response(to_json(answer), media_type="application/json")

    hints = typing.get_type_hints(handler)
    signature = inspect.signature(handler)
    parameters = [
        parameter.replace(annotation=hints.get(name, parameter.annotation))
        for name, parameter in signature.parameters.items()
    ]
    endpoint.__signature__ = signature.replace(parameters=parameters, return_annotation=Response)  # type: ignore[attr-defined]
    endpoint.__annotations__ = {name: hint for name, hint in hints.items() if name != "return"} | {"return": Response}
    return endpoint
