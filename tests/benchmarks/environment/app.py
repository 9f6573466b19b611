"""The benchmarks' environment: one tool, and a reward for having answered at all."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel

from nemo_gym.base_resources_server import BaseVerifyRequest, BaseVerifyResponse, SimpleResourcesServer


class WeatherRequest(BaseModel):
    city: str


class WeatherResponse(BaseModel):
    city: str
    description: str


class BenchmarkResourcesServer(SimpleResourcesServer):
    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/get_weather")(self.get_weather)
        return app

    async def get_weather(self, body: WeatherRequest) -> WeatherResponse:
        return WeatherResponse(city=body.city, description=f"In {body.city} it is 3 degrees, windy and mostly dry.")

    async def verify(self, body: BaseVerifyRequest) -> BaseVerifyResponse:
        return BaseVerifyResponse(**body.model_dump(), reward=float(bool(body.response.output_text)))


if __name__ == "__main__":
    BenchmarkResourcesServer.run_webserver()
