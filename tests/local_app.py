"""An ASGI app that really listens, for as long as a test needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from nemo_gym.launch.ports import listen_on, url_of
from nemo_gym.serving.process import serve


@asynccontextmanager
async def running_app(app: ASGIApp) -> AsyncIterator[str]:
    """Serve it on a free port; gives its URL."""
    listener = listen_on("127.0.0.1", 0)
    ready = asyncio.Event()
    serving = asyncio.create_task(serve(app, listener, on_ready=ready.set, handles_signals=False))
    await ready.wait()
    try:
        yield url_of(listener)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        listener.close()
