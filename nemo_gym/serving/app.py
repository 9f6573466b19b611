"""SimpleServer: the FastAPI app that every server is, with its sessions, middleware, liveness and metrics."""

from __future__ import annotations

from typing import Any, ClassVar

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response

from nemo_gym.serving.middleware import ErrorMiddleware, refuse_invalid_body
from nemo_gym.serving.request_metrics import RequestMetrics, RequestMetricsMiddleware
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.sessions import SessionMiddleware, SessionStore
from nemo_gym.serving.spec import ServerSpec


class BaseServerConfig(BaseModel):
    """An instance's block of the configuration, with the keys that every server takes."""

    model_config = ConfigDict(extra="forbid")

    name: str = ""
    """Instance name; filled in from the configuration's key."""
    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=0, le=65535)
    """None: a free one."""
    entrypoint: str = "app.py"
    num_workers: int = Field(default=1, ge=1)
    """Processes that serve this instance. All calls of a session reach the same one."""
    session_ttl_s: float = Field(default=3600.0, gt=0)
    """Idle seconds after which a session's state is freed."""
    description: str | None = None
    domain: str | None = None
    verified: bool = False
    verified_url: str | None = None
    value: str | None = None
    datasets: list[dict[str, Any]] | None = None


class SimpleServer(BaseModel):
    """A server: its configuration, a client for the other servers, and the app that answers requests.

    Authors subclass one of the three bases, override `setup_webserver()` (calling `super()`) to add routes, and end
    their file with `X.run_webserver()`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    config: BaseServerConfig
    server_client: ServerClient

    session_ends_after: ClassVar[frozenset[str]] = frozenset()
    """Paths whose successful call ends the session."""
    keeps_empty_sessions: ClassVar[bool] = False
    """Whether sessions into which nothing was put are remembered, so that `close_session` is called for each."""

    _sessions: SessionStore = PrivateAttr(default_factory=SessionStore)
    _request_metrics: RequestMetrics = PrivateAttr(default_factory=RequestMetrics)

    def bind(self, spec: ServerSpec) -> None:
        """Take over what the launcher decided: signing secret and worker number. Called before `setup_webserver()`."""
        self._sessions = SessionStore(secret=spec.session_secret, worker=spec.worker)

    def setup_webserver(self) -> FastAPI:
        """Make the app. Called once, before the first request. Overrides call `super()` first, then add routes."""
        self._sessions.ttl_s = self.config.session_ttl_s
        self._sessions.on_close = self.close_session
        app = FastAPI(
            title=self.config.name or type(self).__name__,
            middleware=[
                Middleware(RequestMetricsMiddleware, metrics=self._request_metrics),
                Middleware(
                    SessionMiddleware,
                    store=self._sessions,
                    instance=self.config.name,
                    closing=self.session_ends_after,
                    keep_empty=self.keeps_empty_sessions,
                ),
                Middleware(ErrorMiddleware),
            ],
            exception_handlers={RequestValidationError: refuse_invalid_body},
        )
        app.get("/")(self._liveness)
        app.get("/metrics")(self._metrics)
        return app

    async def close_session(self, session_id: str) -> None:
        """Free what is kept for a session. Called once per session: after it ended, or after it was idle too long."""

    async def shutdown(self) -> None:
        """Free what the server holds. Called once, when it stops."""
        await self.server_client.http.close()

    async def _liveness(self) -> dict[str, str]:
        return {"status": "ok"}

    async def _metrics(self) -> Response:
        sessions = f"# TYPE ng_sessions gauge\nng_sessions {len(self._sessions)}\n"
        return PlainTextResponse(self._request_metrics.render() + sessions)

    @classmethod
    def run_webserver(cls) -> None:
        """Serve until told to stop, as the process that the launcher started."""
        # Imported here: uvicorn is needed by the process that serves, not by whoever imports or tests a server.
        from nemo_gym.serving.process import run_server_process

        run_server_process(cls)
