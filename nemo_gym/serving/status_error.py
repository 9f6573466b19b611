"""The error of an answer with a status of 400 or above, caught as ours or as aiohttp's. Loads aiohttp."""

from __future__ import annotations

from typing import Any

from aiohttp import ClientResponseError

from nemo_gym.errors import BadStatus, RequestError


class StatusError(BadStatus, ClientResponseError):
    """A `BadStatus` that whoever writes `except ClientResponseError` catches too.

    For them `status`, `message` and `response_content` (the answer's body) are set; there is no aiohttp request.
    """

    status: int
    request_info: Any = None
    history: Any = ()
    headers: Any = None

    def __init__(self, message: str, **details: Any) -> None:
        RequestError.__init__(self, message, **details)
        self.message = message
        self.response_content = self.body
