"""Unit tests of weather_lookup, in the style of its neighbours."""

from unittest.mock import MagicMock

from fastapi.testclient import TestClient
from resources_servers.weather_lookup.app import (
    GetWeatherRequest,
    WeatherLookupConfig,
    WeatherLookupServer,
    WeatherVerifyRequest,
)

from nemo_gym.openai_utils import (
    NeMoGymResponse,
    NeMoGymResponseCreateParamsNonStreaming,
    NeMoGymResponseFunctionToolCall,
)
from nemo_gym.server_utils import ServerClient


def make_server() -> WeatherLookupServer:
    config = WeatherLookupConfig(host="0.0.0.0", port=8080, entrypoint="", name="")
    return WeatherLookupServer(config=config, server_client=MagicMock(spec=ServerClient))


def verify_request(city: str) -> WeatherVerifyRequest:
    call = NeMoGymResponseFunctionToolCall(
        arguments=f'{{"city": "{city}"}}', call_id="call_1", name="get_weather", type="function_call", id="fc_1"
    )
    return WeatherVerifyRequest(
        responses_create_params=NeMoGymResponseCreateParamsNonStreaming(input=[{"role": "user", "content": "rain?"}]),
        response=NeMoGymResponse(
            id="resp_1",
            created_at=0.0,
            model="dummy",
            object="response",
            output=[call],
            parallel_tool_calls=True,
            tool_choice="auto",
            tools=[],
        ),
        city="Oslo",
    )


class TestApp:
    def test_sanity(self) -> None:
        make_server()

    async def test_tool(self) -> None:
        answer = await make_server().get_weather(GetWeatherRequest(city="Oslo"))
        assert answer.weather_description == "It is raining in Oslo."

    async def test_verify(self) -> None:
        server = make_server()
        assert (await server.verify(verify_request("Oslo"))).reward == 1.0
        assert (await server.verify(verify_request("Rome"))).reward == 0.0

    def test_over_http(self) -> None:
        client = TestClient(make_server().setup_webserver())
        answer = client.post("/get_weather", json={"city": "Rome"})
        assert answer.status_code == 200 and answer.json()["city"] == "Rome"
        answer = client.post("/verify", json=verify_request("Oslo").model_dump())
        assert answer.json()["reward"] == 1.0 and answer.json()["city"] == "Oslo"
        assert client.post("/get_weather", json={}).status_code == 422
