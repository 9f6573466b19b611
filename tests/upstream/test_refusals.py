"""Refusals: a prompt that does not fit is told apart from all other mistakes, whichever engine says it."""

from __future__ import annotations

import json

import pytest

from nemo_gym.serving.http_response import HttpResponse
from nemo_gym.upstream.refusals import refusal

OVERFLOWS = [
    "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049 input tokens.",
    "The decoder prompt (length 9) is longer than the maximum model length of 8. Make sure that `max_model_len` is ...",
    "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)",
    "max_completion_tokens must be at least 1, got -7.",
    "The input (9 tokens) is longer than the model's context length (8 tokens).",
    "the request exceeds the available context size. try increasing the context size or enable context shift",
]
OTHERS = [
    "max_tokens=5000 cannot be greater than max_model_len=2048. Please request fewer output tokens.",
    "temperature must be non-negative, got -1.0.",
    "top_p must be in (0, 1], got 0.0.",
]


def code_of(message: str, status: int = 400) -> str | None:
    body = json.dumps({"error": {"message": message, "type": "BadRequestError", "param": None, "code": 400}})
    answer = refusal(HttpResponse("http://x", status, {}, body.encode()), secret="")
    assert answer.status_code == status
    error = json.loads(bytes(answer.body))["error"]
    assert error["message"] == message
    code: str | None = error.get("code")
    return code


@pytest.mark.parametrize("message", OVERFLOWS)
def test_a_prompt_that_does_not_fit_has_its_own_code(message: str) -> None:
    assert code_of(message) == "context_length_exceeded"


@pytest.mark.parametrize("message", OTHERS)
def test_other_mistakes_do_not_have_it(message: str) -> None:
    assert code_of(message) is None


@pytest.mark.parametrize(("status", "told"), [(429, "false"), (503, "false"), (500, None), (400, None)])
def test_who_asked_for_a_refused_call_is_told_that_it_was_tried_enough(status: int, told: str | None) -> None:
    assert refusal(HttpResponse("http://x", status, {}, b"{}"), secret="").headers.get("x-should-retry") == told


def test_a_failing_engine_is_no_overflow_whatever_it_says() -> None:
    assert code_of(OVERFLOWS[0], status=500) is None
