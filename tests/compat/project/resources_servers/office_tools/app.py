"""office_tools: many tools behind one catch-all route; state per session, compared with what it should be."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import HTTPException
from pydantic import BaseModel, ConfigDict, Field

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseSeedSessionRequest,
    BaseSeedSessionResponse,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)
from nemo_gym.server_utils import SESSION_ID_KEY


class OfficeToolsConfig(BaseResourcesServerConfig):
    pass


class OfficeRequest(BaseModel):
    model_config = ConfigDict(extra="allow")


class OfficeResponse(BaseModel):
    model_config = ConfigDict(extra="allow")


class OfficeVerifyRequest(BaseVerifyRequest):
    ground_truth: dict[str, list[str]]
    id: int | None = None


class Office:
    def __init__(self) -> None:
        self.inboxes: dict[str, list[str]] = {}

    def send_email(self, to: str, text: str) -> str:
        self.inboxes.setdefault(to, []).append(text)
        return "Email sent."

    def tools(self) -> dict[str, Callable[..., Any]]:
        return {"send_email": self.send_email}


class OfficeToolsServer(SimpleResourcesServer):
    config: OfficeToolsConfig
    session_id_to_office: dict[str, Any] = Field(default_factory=dict)

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/{path}")(self.route_to_python_function)
        return app

    async def seed_session(self, request: Request, body: BaseSeedSessionRequest) -> BaseSeedSessionResponse:
        self.session_id_to_office[request.session[SESSION_ID_KEY]] = Office()
        return BaseSeedSessionResponse()

    async def route_to_python_function(self, path: str, body: OfficeRequest, request: Request) -> OfficeResponse:
        session_id = request.session[SESSION_ID_KEY]
        if session_id not in self.session_id_to_office:
            raise HTTPException(status_code=400, detail="Session not initialized. Please call seed_session first.")
        args = {key: value for key, value in body.model_dump(exclude_unset=True).items() if value is not None}
        try:
            function = self.session_id_to_office[session_id].tools()[path]
            return OfficeResponse(output=function(**args))
        except Exception as e:  # noqa: BLE001 - as such servers do it
            return OfficeResponse(output=f"Error executing tool '{path}': {e!s}")

    async def verify(self, request: Request, body: OfficeVerifyRequest) -> BaseVerifyResponse:
        office = self.session_id_to_office.pop(request.session[SESSION_ID_KEY], Office())
        return BaseVerifyResponse(**body.model_dump(), reward=1.0 if office.inboxes == body.ground_truth else 0.0)


if __name__ == "__main__":
    OfficeToolsServer.run_webserver()
