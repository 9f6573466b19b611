"""Ends work whose client is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from starlette.requests import Request
from starlette.responses import Response

WATCHED_AFTER_S = 0.25
"""What is done sooner is not watched: nearly all requests are, and watching costs more than many of them."""
_NOBODY_WAITS = 499
"""Status of an answer that nobody gets: seen in metrics alone."""


async def while_connected(request: Request, serving: Awaitable[Response]) -> Response:
    """The answer that `serving` makes; it is cancelled when the client disconnects. The body must have been read."""
    watch = _Watch(request)
    try:
        return await serving
    except asyncio.CancelledError:
        if watch.alone_cancelled():
            return Response(status_code=_NOBODY_WAITS)
        raise
    finally:
        watch.end()


class _Watch:
    """Waits for the client's disconnect beside the task that serves it, and then cancels that."""

    def __init__(self, request: Request) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._request, self._serving, self._gone = request, task, False
        self._cancelled_before = task.cancelling()
        self._watching: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(WATCHED_AFTER_S, self._begin)

    def alone_cancelled(self) -> bool:
        """Whether it was this that cancelled the serving task, and nobody else did too."""
        return self._gone and self._serving.cancelling() == self._cancelled_before + 1

    def end(self) -> None:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if self._gone:
            self._serving.uncancel()

    def _begin(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._serving.cancel()
