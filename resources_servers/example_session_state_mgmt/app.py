"""example_session_state_mgmt: a counter per session; the reward says whether it ended at the expected value."""

from __future__ import annotations

from typing import Annotated, ClassVar

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, Field

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseSeedSessionRequest,
    BaseSeedSessionResponse,
    BaseVerifyRequest,
    BaseVerifyResponse,
    ReverifyMode,
    SimpleResourcesServer,
)
from resources_servers.example_session_state_mgmt.verifier import reward

COUNT = "count"
"""Key of the counter in `request.session`."""

Count = Annotated[int, Field(strict=True, ge=-(10**12), le=10**12)]
"""Bounded, so that no sum of them leaves what JSON readers take for an integer."""


class CounterSeedSessionRequest(BaseSeedSessionRequest):
    initial_count: Count = 0


class IncrementCounterRequest(BaseModel):
    count: Count


class IncrementCounterResponse(BaseModel):
    success: bool


class GetCounterValueResponse(BaseModel):
    count: int


class CounterVerifyRequest(BaseVerifyRequest):
    expected_count: int


class CounterVerifyResponse(CounterVerifyRequest, BaseVerifyResponse):
    final_count: int
    """Where the counter stood when the episode ended."""


class SessionStateResourcesServer(SimpleResourcesServer):
    config: BaseResourcesServerConfig

    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.UNSUPPORTED

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/increment_counter")(self.increment_counter)
        app.post("/get_counter_value")(self.get_counter_value)
        return app

    async def seed_session(self, request: Request, body: CounterSeedSessionRequest) -> BaseSeedSessionResponse:
        request.session[COUNT] = body.initial_count
        return BaseSeedSessionResponse()

    async def increment_counter(self, request: Request, body: IncrementCounterRequest) -> IncrementCounterResponse:
        """Adds a number to the counter; a negative one takes away."""
        request.session[COUNT] = current_count(request) + body.count
        return IncrementCounterResponse(success=True)

    async def get_counter_value(self, request: Request) -> GetCounterValueResponse:
        """The counter's value."""
        return GetCounterValueResponse(count=current_count(request))

    async def verify(self, request: Request, body: CounterVerifyRequest) -> CounterVerifyResponse:
        count = current_count(request)
        return CounterVerifyResponse.model_validate(
            body.model_dump(exclude_unset=True)
            | {
                "reward": reward(count, body.expected_count),
                "final_count": count,
            }
        )


def current_count(request: Request) -> int:
    """The session's counter. Refuses a session that was never started: without it there is nothing to score."""
    if COUNT not in request.session:
        raise HTTPException(409, "this session has no counter: call /seed_session first, and send its cookie along")
    count: int = request.session[COUNT]
    return count


if __name__ == "__main__":
    SessionStateResourcesServer.run_webserver()
