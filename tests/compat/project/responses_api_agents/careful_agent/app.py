"""careful_agent: plain dicts throughout, cookies merged by `.value`, metrics of its own, tools listed by name."""

import json
from typing import Any

from fastapi import Request

from nemo_gym.base_resources_server import BaseRunRequest
from nemo_gym.base_responses_api_agent import BaseResponsesAPIAgentConfig, Body, SimpleResponsesAPIAgent
from nemo_gym.config_types import ModelServerRef, ResourcesServerRef
from nemo_gym.openai_utils import NeMoGymResponse, NeMoGymResponseCreateParamsNonStreaming
from nemo_gym.server_utils import get_first_server_config_dict


class CarefulAgentConfig(BaseResponsesAPIAgentConfig):
    resources_server: ResourcesServerRef
    model_server: ModelServerRef
    max_steps: int = 5


class CarefulAgent(SimpleResponsesAPIAgent):
    config: CarefulAgentConfig

    def where_the_model_is(self) -> str:
        server_config = get_first_server_config_dict(
            self.server_client.global_config_dict, self.config.model_server.name
        )
        return f"http://{server_config['host']}:{server_config['port']}/v1"

    async def responses(self, body: NeMoGymResponseCreateParamsNonStreaming = Body()) -> NeMoGymResponse:
        raise NotImplementedError

    async def _post(self, server: str, path: str, body: Any, cookies: dict[str, str]) -> Any:
        answer = await self.server_client.post(server_name=server, url_path=path, json=body, cookies=cookies)
        cookies.update({name: cookie.value for name, cookie in answer.cookies.items()})
        if answer.status >= 400:
            return {"error": (await answer.read()).decode()}
        return await answer.json()

    async def run(self, request: Request, body: BaseRunRequest = Body()) -> dict:
        cookies: dict[str, str] = {}
        row = body.model_dump()
        environment = self.config.resources_server.name
        await self._post(environment, "/seed_session", row, cookies)
        params = body.responses_create_params
        known = {tool["name"] for tool in params.tools}
        history = [{"role": "user", "content": params.input}] if isinstance(params.input, str) else list(params.input)
        output: list[Any] = []
        for _ in range(self.config.max_steps):
            request_body = params.model_dump(exclude_unset=True) | {"input": history + output}
            answer = await self._post(self.config.model_server.name, "/v1/responses", request_body, cookies)
            output += answer["output"]
            calls = [item for item in answer["output"] if item["type"] == "function_call"]
            if not calls:
                break
            for item in calls:
                name = item["name"]
                result: Any = {"error": "no such tool"}
                if name in known:
                    result = await self._post(environment, f"/{name}", json.loads(item["arguments"]), cookies)
                output.append(
                    {"type": "function_call_output", "call_id": item["call_id"], "output": json.dumps(result)}
                )
        verified = await self._post(environment, "/verify", row | {"response": answer | {"output": output}}, cookies)
        return verified | {"model_url": self.where_the_model_is()}

    def compute_metrics(self, tasks: list[list[dict]]) -> dict:
        return {"rollouts_seen": sum(map(len, tasks))}

    def get_key_metrics(self, agent_metrics: dict) -> dict:
        return {"rollouts_seen": agent_metrics["rollouts_seen"]}


if __name__ == "__main__":
    CarefulAgent.run_webserver()
