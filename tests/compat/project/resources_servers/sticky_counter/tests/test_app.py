"""Unit tests of sticky_counter, in the style of its neighbours."""

from unittest.mock import MagicMock

from fastapi.testclient import TestClient
from resources_servers.sticky_counter.app import (
    CounterSeedSessionRequest,
    IncrementRequest,
    StickyCounterConfig,
    StickyCounterServer,
)

from nemo_gym.server_utils import SESSION_ID_KEY, ServerClient


def make_server(**settings) -> StickyCounterServer:
    config = StickyCounterConfig(host="0.0.0.0", port=8080, entrypoint="", name="", **settings)
    return StickyCounterServer(config=config, server_client=MagicMock(spec=ServerClient))


class TestApp:
    async def test_handlers_called_with_a_mocked_request(self) -> None:
        server = make_server(step=3)
        request = MagicMock()
        request.session = {SESSION_ID_KEY: "abc"}
        await server.seed_session(request, CounterSeedSessionRequest(initial_count=4))
        await server.increment(request, IncrementRequest(count=2))
        assert server.session_id_to_counter == {"abc": 10}
        assert (await server.get_count(request)).count == 10

    def test_two_clients_have_two_counters(self) -> None:
        app = make_server().setup_webserver()
        one, two = TestClient(app), TestClient(app)
        one.post("/seed_session", json={"initial_count": 5})
        two.post("/seed_session", json={"initial_count": 50})
        one.post("/increment", json={"count": 1})
        assert one.post("/get_count").json() == {"count": 6}
        assert two.post("/get_count", json={}).json() == {"count": 50}
