"""Unit tests of careful_agent, in the style of its neighbours."""

from unittest.mock import AsyncMock, MagicMock

from responses_api_agents.careful_agent.app import CarefulAgent, CarefulAgentConfig

from nemo_gym.base_resources_server import AggregateMetricsRequest, BaseRunRequest
from nemo_gym.config_types import BaseServerConfig, ModelServerRef, ResourcesServerRef
from nemo_gym.server_utils import ServerClient


def make(server_client) -> CarefulAgent:
    config = CarefulAgentConfig(
        host="0.0.0.0",
        port=8080,
        entrypoint="",
        name="agent",
        resources_server=ResourcesServerRef(type="resources_servers", name="env"),
        model_server=ModelServerRef(type="responses_api_models", name="policy"),
    )
    return CarefulAgent(config=config, server_client=server_client)


def answering(body: dict, **cookies: str):
    jar = {name: MagicMock(value=value) for name, value in cookies.items()}
    return MagicMock(status=200, ok=True, json=AsyncMock(return_value=body), cookies=jar)


class TestApp:
    async def test_cookies_are_merged(self) -> None:
        server_client = MagicMock(spec=ServerClient)
        server_client.global_config_dict = {"policy": {"responses_api_models": {"m": {"host": "h", "port": 1}}}}
        server_client.post = AsyncMock(
            side_effect=[answering({}, env="e"), answering({"output": []}, policy="p"), answering({"reward": 1.0})]
        )
        result = await make(server_client).run(MagicMock(), BaseRunRequest(responses_create_params={"input": "hi"}))
        assert result == {"reward": 1.0, "model_url": "http://h:1/v1"}
        assert server_client.post.call_args.kwargs["cookies"] == {"env": "e", "policy": "p"}
        assert server_client.post.call_args_list[1].kwargs["json"] == {"input": [{"role": "user", "content": "hi"}]}

    async def test_metrics_of_its_own(self) -> None:
        head = BaseServerConfig(host="127.0.0.1", port=11000)
        config = {"policy": {"responses_api_models": {"m": {"host": "h", "port": 1}}}}
        agent = make(ServerClient(head_server_config=head, global_config_dict=config))
        assert agent.where_the_model_is() == "http://h:1/v1"
        metrics = await agent.aggregate_metrics(AggregateMetricsRequest(verify_responses=[{"reward": 1.0}] * 3))
        assert metrics.key_metrics == {"rollouts_seen": 3}
