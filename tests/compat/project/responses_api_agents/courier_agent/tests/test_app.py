"""Unit tests of courier_agent, in the style of its neighbours."""

import json
from unittest.mock import AsyncMock, MagicMock, call

from fastapi.testclient import TestClient
from pytest import MonkeyPatch
from responses_api_agents.courier_agent.app import CourierAgent, CourierAgentConfig

from nemo_gym.config_types import ModelServerRef, ResourcesServerRef
from nemo_gym.openai_utils import NeMoGymResponseCreateParamsNonStreaming
from nemo_gym.server_utils import ServerClient


class TestApp:
    def make(self) -> CourierAgent:
        config = CourierAgentConfig(
            host="0.0.0.0",
            port=8080,
            entrypoint="",
            name="",
            resources_server=ResourcesServerRef(type="resources_servers", name=""),
            model_server=ModelServerRef(type="responses_api_models", name="my server name"),
        )
        return CourierAgent(config=config, server_client=MagicMock(spec=ServerClient))

    async def test_responses(self, monkeypatch: MonkeyPatch) -> None:
        server = self.make()
        client = TestClient(server.setup_webserver())
        answer = {
            "id": "resp_1",
            "created_at": 1753983920.0,
            "model": "dummy_model",
            "object": "response",
            "output": [
                {
                    "id": "msg_1",
                    "content": [{"annotations": [], "text": "Hello! How can I help?", "type": "output_text"}],
                    "role": "assistant",
                    "status": "completed",
                    "type": "message",
                }
            ],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
        mock = AsyncMock()
        mock.read.return_value = json.dumps(answer)
        mock.cookies = MagicMock()
        server.server_client.post.return_value = mock

        got = client.post("/v1/responses", json={"input": [{"role": "user", "content": "hello"}]})
        assert got.status_code == 200
        server.server_client.post.assert_called_with(
            server_name="my server name",
            url_path="/v1/responses",
            json=NeMoGymResponseCreateParamsNonStreaming(
                input=[{"content": "hello", "role": "user", "type": "message"}]
            ),
            cookies=None,
        )
        actual = got.json()
        assert actual["output"][0]["content"][0]["text"] == "Hello! How can I help?"

        # Only the input is needed.
        assert client.post("/v1/responses", json={"input": "hello"}).status_code == 200
        assert call().ok is not None

    async def test_max_steps(self) -> None:
        server = self.make()
        server.config.max_steps = 2
        answer = {
            "id": "resp_1",
            "created_at": 0,
            "model": "m",
            "object": "response",
            "output": [{"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}", "id": "fc"}],
        }
        mock = AsyncMock()
        mock.read.return_value = json.dumps(answer)
        mock.content.read.return_value = b"seen"
        mock.cookies = {}
        server.server_client.post.return_value = mock
        got = TestClient(server.setup_webserver()).post("/v1/responses", json={"input": "look"}).json()
        assert [item["type"] for item in got["output"]] == ["function_call", "function_call_output"] * 2
        assert got["output"][1]["output"] == "seen"
