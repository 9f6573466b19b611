"""Unit tests of turtle_env, in the style of its neighbours."""

from unittest.mock import MagicMock

from fastapi.testclient import TestClient
from resources_servers.turtle_env.app import TurtleConfig, TurtleServer

from nemo_gym.server_utils import ServerClient


class TestApp:
    def test_steps_and_close(self) -> None:
        config = TurtleConfig(host="", port=0, entrypoint="", name="")
        server = TurtleServer(config=config, server_client=MagicMock(spec=ServerClient))
        client = TestClient(server.setup_webserver())
        seeded = client.post("/seed_session", json={"task_idx": 2}).json()
        assert seeded["obs"][0]["role"] == "user" and seeded["tools"][0]["name"] == "move"
        call = {"type": "function_call", "call_id": "c", "name": "move", "arguments": '{"steps": 2}'}
        step = client.post("/step", json={"env_id": seeded["env_id"], "action": [call]}).json()
        assert step["done"] is True and step["reward"] == 1.0
        assert step["obs"][0] | {"output": "You are at 2.", "call_id": "c"} == step["obs"][0]
        assert client.post("/close", json={"env_id": seeded["env_id"]}).json() == {"message": "closed"}
        assert client.post("/close", json={"env_id": seeded["env_id"]}).status_code == 404
