"""weather_lookup: one tool without state; the reward says whether the tool was asked for the right city."""

import json

from fastapi import FastAPI
from pydantic import BaseModel

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseRunRequest,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)


class WeatherLookupConfig(BaseResourcesServerConfig):
    pass


class GetWeatherRequest(BaseModel):
    city: str


class GetWeatherResponse(BaseModel):
    city: str
    weather_description: str


class WeatherRunRequest(BaseRunRequest):
    city: str


class WeatherVerifyRequest(WeatherRunRequest, BaseVerifyRequest):
    pass


class WeatherVerifyResponse(BaseVerifyResponse):
    asked_for: list[str]


class WeatherLookupServer(SimpleResourcesServer):
    config: WeatherLookupConfig

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/get_weather")(self.get_weather)
        return app

    async def get_weather(self, body: GetWeatherRequest) -> GetWeatherResponse:
        return GetWeatherResponse(city=body.city, weather_description=f"It is raining in {body.city}.")

    async def verify(self, body: WeatherVerifyRequest) -> WeatherVerifyResponse:
        asked_for = []
        for output_item in body.response.output:
            if output_item.type == "function_call" and output_item.name == "get_weather":
                asked_for.append(json.loads(output_item.arguments).get("city"))
        return WeatherVerifyResponse(**body.model_dump(), reward=float(asked_for == [body.city]), asked_for=asked_for)


if __name__ == "__main__":
    WeatherLookupServer.run_webserver()
