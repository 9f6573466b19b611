"""Routes of a server: one that the author adds must not stand where another answers already."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from nemo_gym.errors import LaunchError
from nemo_gym.schemas.episode import SERVER_ROUTES


def refuse_hidden_routes(app: FastAPI, seen_from: Path) -> None:
    """Raise `LaunchError` for a route that would never be called, because an earlier one has its path and method.

    The same handler added twice is let pass. Files below `seen_from` are shown relative to it.
    """
    answering: dict[tuple[str, str], Callable[..., Any] | None] = {}
    for route in app.routes:
        path, methods = getattr(route, "path", None), getattr(route, "methods", None)
        if path is None or not methods:
            continue
        endpoint = route.endpoint if isinstance(route, APIRoute) else None
        for method in methods:
            earlier = answering.setdefault((path, method), endpoint)
            if endpoint is not None and earlier != endpoint:
                whose = "the server's own" if path[1:] in SERVER_ROUTES or path == "/" else "added twice"
                raise LaunchError(
                    f"{_place(endpoint, seen_from)}: the route `{method} {path}` is {whose}, so that"
                    f" `{endpoint.__name__}` would never be called; give it another name"
                )


def _place(endpoint: Callable[..., Any], seen_from: Path) -> str:
    code = inspect.unwrap(endpoint).__code__
    path = Path(code.co_filename)
    shown = path.relative_to(seen_from) if path.is_relative_to(seen_from) else path
    return f"{shown}:{code.co_firstlineno}"
