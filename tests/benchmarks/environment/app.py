"""The benchmarks' environment: one tool, a count of a session's calls, and a reward for having answered at all."""

from __future__ import annotations

import os

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request

from nemo_gym.base_resources_server import BaseVerifyRequest, BaseVerifyResponse, SimpleResourcesServer


class WeatherRequest(BaseModel):
    city: str


class WeatherResponse(BaseModel):
    city: str
    description: str


class CountResponse(BaseModel):
    count: int
    """Which call of its session it was, from 1."""
    pid: int
    """Of the worker that served it."""


class BenchmarkResourcesServer(SimpleResourcesServer):
    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/get_weather")(self.get_weather)
        app.post("/count")(self.count)
        return app

    async def get_weather(self, body: WeatherRequest) -> WeatherResponse:
        return WeatherResponse(city=body.city, description=f"In {body.city} it is 3 degrees, windy and mostly dry.")

    async def count(self, request: Request) -> CountResponse:
        request.session["count"] = request.session.get("count", 0) + 1
        return CountResponse(count=request.session["count"], pid=os.getpid())

    async def verify(self, body: BaseVerifyRequest) -> BaseVerifyResponse:
        return BaseVerifyResponse(**body.model_dump(), reward=float(bool(body.response.output_text)))


if __name__ == "__main__":
    BenchmarkResourcesServer.run_webserver()
