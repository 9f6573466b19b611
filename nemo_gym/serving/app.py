"""SimpleServer: the FastAPI app that every server is, with its sessions, middleware, liveness and metrics."""

from __future__ import annotations

import logging
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar, Self

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError
from pydantic.warnings import UnsupportedFieldAttributeWarning
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response

from nemo_gym.config.global_config import set_global_config
from nemo_gym.config.nearest import suggestion
from nemo_gym.config_types import BaseServerConfig
from nemo_gym.errors import ConfigError, ConfigProblem, LaunchError, NemoGymError
from nemo_gym.schemas.validation import places
from nemo_gym.serving.calls import close_shared_client
from nemo_gym.serving.error_answers import refuse_invalid_body
from nemo_gym.serving.front import Front
from nemo_gym.serving.in_flight import IN_FLIGHT_ROUTE, InFlightReport
from nemo_gym.serving.json_route import JsonRoute
from nemo_gym.serving.request_metrics import RequestMetrics
from nemo_gym.serving.routes import refuse_hidden_routes
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.sessions import Sessions, SessionStore
from nemo_gym.serving.spec import ServerSpec


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

    @classmethod
    def from_spec(cls, spec: ServerSpec, client: ServerClient | None = None) -> Self:
        """The server with its checked configuration. Raises `ConfigError` naming every key that is wrong."""
        config_class = cls.model_fields["config"].annotation
        assert isinstance(config_class, type) and issubclass(config_class, BaseServerConfig)
        try:
            config = config_class.model_validate({**spec.settings, "name": spec.name})
        except ValidationError as error:
            raise ConfigError(_problems(error, spec, config_class)) from None
        server_client = client or ServerClient(spec.directory, global_config_dict=spec.global_config)
        server = cls(config=config, server_client=server_client)
        server._sessions = SessionStore(secret=spec.session_secret, worker=spec.worker)
        return server

    def setup_webserver(self) -> FastAPI:
        """Make the app. Called once, before the first request. Overrides call `super()` first, then add routes."""
        self._sessions.ttl_s = self.config.session_ttl_s
        self._sessions.on_close = self.close_session
        sessions = Sessions(
            self._sessions,
            instance=self.config.name,
            closing=self.session_ends_after,
            keep_empty=self.keeps_empty_sessions,
        )
        app = FastAPI(
            title=self.config.name or type(self).__name__,
            middleware=[Middleware(Front, metrics=self._request_metrics, sessions=sessions)],
            exception_handlers={RequestValidationError: refuse_invalid_body},
            lifespan=self._lifespan,
        )
        app.router.route_class = JsonRoute
        app.get("/")(self._liveness)
        app.get("/metrics")(self._metrics)
        app.get(IN_FLIGHT_ROUTE)(self._in_flight)
        return app

    async def close_session(self, session_id: str) -> None:
        """Free what is kept for a session. Called once per session: after it ended, or after it was idle too long."""

    async def startup(self) -> None:
        """Start what the server needs. Called once, after `setup_webserver` and before the first request.

        It may take up to the run's `start_timeout_s`, and is cancelled when the server is told to stop meanwhile. Raise
        a `NemoGymError` where what it needs cannot be had; `shutdown` is not called then.
        """

    async def shutdown(self) -> None:
        """Free what the server holds. Called once, when it stops."""
        await self.server_client.close()
        await close_shared_client()

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        yield
        await self.shutdown()

    async def _liveness(self) -> dict[str, str]:
        return {"status": "ok"}

    async def _metrics(self) -> Response:
        sessions = f"# TYPE ng_sessions gauge\nng_sessions {len(self._sessions)}\n"
        return PlainTextResponse(self._request_metrics.render() + sessions)

    async def _in_flight(self) -> InFlightReport:
        return self._request_metrics.in_flight.report()

    @classmethod
    def run_webserver(cls) -> None:
        """Serve until told to stop, as the process that the launcher started; exit code 2: wrong configuration."""
        # Imported here: uvicorn is needed by the process that serves, not by whoever imports or tests a server.
        from nemo_gym.serving.process import ServerProcess, run

        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        # FastAPI silences this one itself where it builds the type of a body; ours are built later, at first use.
        warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)
        try:
            process = ServerProcess.from_environment()
        except LaunchError as error:
            raise SystemExit(str(error)) from None
        set_global_config(process.spec.global_config)
        try:
            server = cls.from_spec(process.spec)
            app = server.setup_webserver()
            refuse_hidden_routes(app, Path(process.spec.working_dir))
            run(
                app,
                process,
                server.startup,
                max_body_bytes=server.config.max_body_bytes,
                stall_limit_s=server.config.stall_limit_s,
            )
        except ConfigError as error:
            process.report({"event": "failed", "problems": [asdict(problem) for problem in error.problems]})
            raise SystemExit(2) from None
        except NemoGymError as error:
            process.report({"event": "failed", "message": str(error)})
            raise SystemExit(1) from None


def is_nemo_gym_fastapi_worker() -> bool:
    """Whether an entrypoint is imported to get its app from it. Never here: each process runs its entrypoint itself."""
    return False


def _problems(error: ValidationError, spec: ServerSpec, config_class: type[BaseServerConfig]) -> list[ConfigProblem]:
    """Each mistake in a block, with its key as it stands in the YAML file."""
    block = f"{spec.name}.{spec.server_type}.{spec.implementation}"
    details = error.errors()
    problems = []
    for (place, message), detail in zip(places(details), details, strict=True):
        if detail["type"] == "extra_forbidden":
            message = f"no such key; {suggestion(place, config_class.model_fields, kind='keys')}"
        file = spec.sources.get(str(detail["loc"][0]), spec.source) if detail["loc"] else spec.source
        problems.append(ConfigProblem(file, f"{block}.{place}" if place else block, message))
    return problems
