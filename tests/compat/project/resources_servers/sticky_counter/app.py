"""sticky_counter: state kept by session id in a field of the server, seeded from the task row."""

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseSeedSessionRequest,
    BaseSeedSessionResponse,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)
from nemo_gym.server_utils import SESSION_ID_KEY


class StickyCounterConfig(BaseResourcesServerConfig):
    step: int = 1


class IncrementRequest(BaseModel):
    count: int


class CounterResponse(BaseModel):
    success: bool


class GetCounterResponse(BaseModel):
    count: int


class CounterSeedSessionRequest(BaseSeedSessionRequest):
    initial_count: int


class CounterVerifyRequest(BaseVerifyRequest):
    expected_count: int


class StickyCounterServer(SimpleResourcesServer):
    config: StickyCounterConfig
    session_id_to_counter: dict[str, int] = Field(default_factory=dict)

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/increment")(self.increment)
        app.post("/get_count")(self.get_count)
        return app

    async def seed_session(self, request: Request, body: CounterSeedSessionRequest) -> BaseSeedSessionResponse:
        session_id = request.session[SESSION_ID_KEY]
        self.session_id_to_counter.setdefault(session_id, body.initial_count)
        return BaseSeedSessionResponse()

    async def increment(self, request: Request, body: IncrementRequest) -> CounterResponse:
        self.session_id_to_counter[request.session[SESSION_ID_KEY]] += body.count * self.config.step
        return CounterResponse(success=True)

    async def get_count(self, request: Request) -> GetCounterResponse:
        return GetCounterResponse(count=self.session_id_to_counter.setdefault(request.session[SESSION_ID_KEY], 0))

    async def verify(self, request: Request, body: CounterVerifyRequest) -> BaseVerifyResponse:
        reward = 0.0
        session_id = request.session[SESSION_ID_KEY]
        if session_id in self.session_id_to_counter:
            reward = float(body.expected_count == self.session_id_to_counter[session_id])
        return BaseVerifyResponse(**body.model_dump(), reward=reward)


if __name__ == "__main__":
    StickyCounterServer.run_webserver()
