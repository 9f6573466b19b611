"""example_multi_reward: one tool call, scored in three parts that are kept apart and sum to the reward."""

from __future__ import annotations

from typing import Any, ClassVar

from fastapi import FastAPI
from pydantic import BaseModel

from nemo_gym.base_resources_server import (
    BaseMultiRewardVerifyResponse,
    BaseResourcesServerConfig,
    BaseVerifyRequest,
    ReverifyMode,
    SimpleResourcesServer,
)
from resources_servers.example_multi_reward.verifier import Call, parse_call, reward_components


class GetWeatherRequest(BaseModel):
    city: str
    unit: str = "celsius"


class GetWeatherResponse(BaseModel):
    city: str
    weather_description: str


class ToolCall(BaseModel):
    name: str
    arguments: dict[str, Any] | None
    """None: what the model wrote is not a JSON object."""


class ToolCallVerifyRequest(BaseVerifyRequest):
    expected_call: ToolCall


class ToolCallVerifyResponse(ToolCallVerifyRequest, BaseMultiRewardVerifyResponse):
    correctness: float
    schema_valid: float
    format: float
    """The three parts once more, as plain fields, so that each has its own mean among the metrics."""
    predicted_calls: list[ToolCall]


class MultiRewardResourcesServer(SimpleResourcesServer):
    config: BaseResourcesServerConfig

    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.STATELESS

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/get_weather")(self.get_weather)
        return app

    async def get_weather(self, body: GetWeatherRequest) -> GetWeatherResponse:
        return GetWeatherResponse(city=body.city, weather_description=f"The weather in {body.city} is sunny.")

    async def verify(self, body: ToolCallVerifyRequest) -> ToolCallVerifyResponse:
        calls = [parse_call(call.name, call.arguments) for call in body.response.function_calls]
        components = reward_components(
            calls,
            body.response.output_text,
            Call(body.expected_call.name, body.expected_call.arguments),
            {tool.name: tool.parameters or {} for tool in body.responses_create_params.tools if tool.name is not None},
        )
        return ToolCallVerifyResponse.model_validate(
            body.model_dump(exclude_unset=True)
            | {
                "reward": sum(components.values()),
                "reward_components": components,
                "predicted_calls": [ToolCall(name=call.name, arguments=call.arguments) for call in calls],
                **components,
            }
        )


if __name__ == "__main__":
    MultiRewardResourcesServer.run_webserver()
