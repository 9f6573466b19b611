"""What a failure tells of the answer that caused it."""

from __future__ import annotations

import pytest

from nemo_gym.agent_loop.failure import refusal_text
from nemo_gym.serving.http import HttpResponse


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"error": {"type": "Unreachable", "message": "cannot connect"}}', "HTTP 502: cannot connect"),
        (b'{"error": "overloaded"}', 'HTTP 502: {"error": "overloaded"}'),
        (b'{"detail": "Not Found"}', 'HTTP 502: {"detail": "Not Found"}'),
        (b"[1]", "HTTP 502: [1]"),
        (b"<html>Bad Gateway</html>", "HTTP 502: <html>Bad Gateway</html>"),
        (b"", "HTTP 502: "),
    ],
)
def test_a_refusal_is_told_by_its_message_and_else_by_its_body(body: bytes, told: str) -> None:
    assert refusal_text(HttpResponse(url="http://a/", status=502, headers={}, body=body)) == told


def test_a_long_refusal_is_cut() -> None:
    assert len(refusal_text(HttpResponse(url="http://a/", status=500, headers={}, body=b"x" * 10_000))) < 600
