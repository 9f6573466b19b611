"""Unit tests of office_tools, in the style of its neighbours."""

from unittest.mock import MagicMock

import pytest
from fastapi.exceptions import HTTPException
from fastapi.testclient import TestClient
from resources_servers.office_tools.app import OfficeRequest, OfficeToolsConfig, OfficeToolsServer

from nemo_gym.server_utils import SESSION_ID_KEY, ServerClient


@pytest.fixture
def server() -> OfficeToolsServer:
    config = OfficeToolsConfig(host="0.0.0.0", port=8080, entrypoint="", name="")
    return OfficeToolsServer(config=config, server_client=MagicMock(spec=ServerClient))


class TestApp:
    async def test_tool_needs_a_session(self, server) -> None:
        request = MagicMock(session={SESSION_ID_KEY: "x"})
        with pytest.raises(HTTPException) as caught:
            await server.route_to_python_function(path="send_email", body=OfficeRequest(), request=request)
        assert caught.value.status_code == 400

    def test_routes_of_the_server_win_over_the_catch_all(self, server) -> None:
        client = TestClient(server.setup_webserver())
        assert client.post("/send_email", json={"to": "ann", "text": "hi"}).status_code == 400
        assert client.post("/seed_session", json={}).json() == {}
        assert client.post("/send_email", json={"to": "ann", "text": "hi"}).json() == {"output": "Email sent."}
        assert "Error executing tool" in client.post("/fly", json={}).json()["output"]
        assert client.post("/aggregate_metrics", json={"verify_responses": []}).status_code == 200
        assert client.get("/").json() == {"status": "ok"}
        body = {
            "responses_create_params": {"input": "mail ann"},
            "response": {"id": "r", "created_at": 0, "model": "m", "object": "response", "output": []},
            "ground_truth": {"ann": ["hi"]},
        }
        assert client.post("/verify", json=body).json()["reward"] == 1.0
