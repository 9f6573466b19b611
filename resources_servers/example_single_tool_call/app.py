"""example_single_tool_call: one tool, one answer; the reward says whether the tool was asked about the right city."""

from __future__ import annotations

from typing import ClassVar

from fastapi import FastAPI
from pydantic import BaseModel

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseVerifyRequest,
    BaseVerifyResponse,
    ReverifyMode,
    SimpleResourcesServer,
)
from resources_servers.example_single_tool_call.verifier import asked_cities, reward


class GetWeatherRequest(BaseModel):
    city: str


class GetWeatherResponse(BaseModel):
    city: str
    weather_description: str


class WeatherVerifyRequest(BaseVerifyRequest):
    expected_cities: list[str] | None = None
    """Cities that the user's question is about; None: any answer will do."""


class WeatherVerifyResponse(WeatherVerifyRequest, BaseVerifyResponse):
    asked_cities: list[str]
    """Cities that the tool was asked about, in order."""


class SingleToolCallResourcesServer(SimpleResourcesServer):
    config: BaseResourcesServerConfig

    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.STATELESS

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/get_weather")(self.get_weather)
        return app

    async def get_weather(self, body: GetWeatherRequest) -> GetWeatherResponse:
        return GetWeatherResponse(city=body.city, weather_description=f"The weather in {body.city} is cold.")

    async def verify(self, body: WeatherVerifyRequest) -> WeatherVerifyResponse:
        cities = asked_cities((call.name, call.arguments) for call in body.response.function_calls)
        return WeatherVerifyResponse.model_validate(
            body.model_dump(exclude_unset=True)
            | {
                "reward": reward(cities, body.response.output_text, body.expected_cities),
                "asked_cities": cities,
            }
        )


if __name__ == "__main__":
    SingleToolCallResourcesServer.run_webserver()
