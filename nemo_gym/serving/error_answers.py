"""How a handler's exceptions become answers: JSON that says what is wrong, never a lost session, never a bare 500."""

from __future__ import annotations

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from nemo_gym.errors import (
    DeadlineExceeded,
    EngineRefusedError,
    EpisodeStateError,
    NemoGymError,
    RequestError,
    SessionLostError,
)
from nemo_gym.schemas.validation import explain, places
from nemo_gym.serving.http import to_json

_NESTED_TOO_DEEPLY = ("Recursion limit reached", "Maximum serialization depth exceeded")
"""How orjson and pydantic refuse to write what they could read."""


def error_response(status: int, kind: str, message: str, **details: object) -> Response:
    """`{"error": {"type": ..., "message": ..., ...}}`, the shape of every error answer here."""
    body = to_json({"error": {"type": kind, "message": message, **details}})
    return Response(body, status_code=status, media_type="application/json")


async def refuse_invalid_body(request: Request, error: Exception) -> Response:
    """HTTP 422 with one line per mistake, each naming its place."""
    assert isinstance(error, RequestValidationError)
    mistakes = [f"{place}: {message}" if place else message for place, message in places(error.errors())]
    return error_response(422, "invalid_request", "; ".join(mistakes[:10]), mistakes=mistakes)


def response_for(error: Exception) -> Response:
    """What is answered where a handler raised."""
    if isinstance(error, ValidationError):
        message = f"{error.title} cannot be built: " + "; ".join(explain(error)[:10])
        return error_response(500, "invalid_answer", message)
    if isinstance(error, EngineRefusedError):
        return Response(error.body, error.status, error.headers, media_type="application/json")
    if isinstance(error, EpisodeStateError):
        return error_response(409, type(error).__name__, str(error))
    if isinstance(error, SessionLostError):
        return error_response(410, "session_lost", str(error))
    if isinstance(error, RequestError):
        status = 504 if isinstance(error, DeadlineExceeded) else 502
        return error_response(status, type(error).__name__, str(error), delivered=error.delivered)
    if isinstance(error, NemoGymError):
        return error_response(500, type(error).__name__, str(error))
    if any(text in str(error) for text in _NESTED_TOO_DEEPLY):
        return error_response(422, "invalid_request", "what was sent is nested too deeply: more than 250 levels")
    return error_response(500, type(error).__name__, f"{type(error).__name__}: {error}")
