"""Unit tests of two_part_reward, in the style of its neighbours."""

from unittest.mock import MagicMock

from fastapi.testclient import TestClient
from resources_servers.two_part_reward.app import TwoPartServer

from nemo_gym.base_resources_server import BaseResourcesServerConfig
from nemo_gym.server_utils import ServerClient


class TestApp:
    def test_over_http(self) -> None:
        config = BaseResourcesServerConfig(host="0.0.0.0", port=8080, entrypoint="", name="")
        app = TwoPartServer(config=config, server_client=MagicMock(spec=ServerClient)).setup_webserver()
        with TestClient(app) as client:
            assert client.post("/lookup", params={"word": "fog"}).json() == {"definition": "fog is a word."}
            assert client.get("/rules").json()[0] == "be brief"
            assert client.get("/reverify_mode").json() == "stateless"
