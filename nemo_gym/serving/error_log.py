"""The log of what handlers raised: the frames of the server's own code, and each traceback once."""

from __future__ import annotations

import logging
from types import TracebackType

log = logging.getLogger(__name__)

_CALLERS = ("starlette.", "fastapi.", "nemo_gym.serving.")
"""Packages whose frames lead to a handler and say nothing about what is wrong in it."""


class ErrorLog:
    """Remembers the places that raised, of which there are no more than lines in the code: an environment that fails in
    every episode shows one traceback, and then a line per failure.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[str, ...]] = set()

    def record(self, request: str, error: Exception) -> None:
        """`request` says what was asked for, as in `POST /verify`."""
        own = _own_frames(error.__traceback__)
        place = (type(error).__qualname__, *_lines(own))
        if place in self._seen:
            log.error("%s failed as before: %s: %s", request, type(error).__name__, error)
            return
        self._seen.add(place)
        log.error("%s failed", request, exc_info=(type(error), error, own))


def _own_frames(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback from the handler on; the whole one where no handler was reached."""
    own = traceback
    while own is not None and own.tb_frame.f_globals.get("__name__", "").startswith(_CALLERS):
        own = own.tb_next
    return own or traceback


def _lines(traceback: TracebackType | None) -> list[str]:
    lines = []
    while traceback is not None:
        lines.append(f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return lines
