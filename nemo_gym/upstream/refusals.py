"""What a model server answers when its endpoint refuses, or answers with something that cannot be used."""

from __future__ import annotations

import re

import orjson
from pydantic import ValidationError
from starlette.responses import Response as HttpAnswer

from nemo_gym.errors import ConversionError, EngineRefusedError
from nemo_gym.schemas.validation import explain
from nemo_gym.serving.error_answers import error_response
from nemo_gym.serving.http_response import REFUSED_STATUSES, TRIED_ENOUGH, HttpResponse

_OVERFLOW = re.compile(
    "context_length_exceeded"  # OpenAI
    "|maximum context length"  # OpenAI, vLLM
    "|longer than the maximum model length"  # vLLM, checked by the engine
    # vLLM, where the prompt fills the context to the last token. A request cannot have asked for less than 1 itself:
    # that is refused here already.
    r"|max_(?:completion_)?tokens must be at least 1, got (?:0|-\d+)"
    "|longer than the model's context length"  # SGLang
    "|exceeds the available context size",  # llama.cpp
    re.IGNORECASE,
)
"""What engines write when a prompt does not fit. Other refusals with status 400 are mistakes in the request."""


def refusal(answer: HttpResponse, secret: str) -> HttpAnswer:
    """The endpoint's error, status kept and `secret` masked; a prompt that does not fit has a code of its own."""
    message = error_message(answer)
    if secret:
        message = message.replace(secret, "***")
    if answer.status == 400 and _OVERFLOW.search(answer.text):
        return error_response(400, "invalid_request_error", message, code="context_length_exceeded")
    refused = error_response(answer.status, "upstream_error", message)
    if "retry-after" in answer.headers:
        refused.headers["retry-after"] = answer.headers["retry-after"]
    if answer.status in REFUSED_STATUSES:
        name, value = TRIED_ENOUGH
        refused.headers[name] = value
    return refused


def engine_refusal(answer: HttpResponse, secret: str) -> EngineRefusedError:
    """The same, to be raised."""
    refused = refusal(answer, secret)
    handed_on = {key: value for key, value in refused.headers.items() if key in ("retry-after", TRIED_ENOUGH[0])}
    return EngineRefusedError(refused.status_code, bytes(refused.body), handed_on)


def error_message(answer: HttpResponse) -> str:
    """What the endpoint says is wrong: `error.message` or `message` of its JSON, else the text."""
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        body = None
    if isinstance(body, dict):
        error = body.get("error", body)
        message = error.get("message", error.get("detail")) if isinstance(error, dict) else error
        if message:
            return str(message)[:2000]
    return answer.text[:500] or f"HTTP {answer.status} without a body"


def untranslatable(error: ConversionError) -> HttpAnswer:
    """HTTP 400: the request says something that the endpoint's API cannot say."""
    return error_response(400, "invalid_request", str(error))


def unusable_answer(error: ValidationError | ConversionError) -> HttpAnswer:
    """HTTP 502: the endpoint's answer is not what its API promises."""
    return error_response(502, "bad_upstream_answer", unusable_because(error))


def unusable_because(error: ValidationError | ConversionError) -> str:
    """Why the endpoint's answer is of no use, in one line."""
    reason = "; ".join(explain(error)[:5]) if isinstance(error, ValidationError) else str(error)
    return f"the endpoint's answer cannot be used: {reason}"
