"""stepper_agent: drives an environment that has `/step` and `/close`, tools and observation given by seeding."""

from typing import Any

from fastapi import Body, Request

from nemo_gym.base_resources_server import BaseRunRequest, BaseVerifyResponse
from nemo_gym.base_responses_api_agent import BaseResponsesAPIAgentConfig, SimpleResponsesAPIAgent
from nemo_gym.config_types import ModelServerRef, ResourcesServerRef
from nemo_gym.openai_utils import (
    NeMoGymEasyInputMessage,
    NeMoGymResponse,
    NeMoGymResponseCreateParamsNonStreaming,
    NeMoGymResponseFunctionToolCall,
)
from nemo_gym.server_utils import raise_for_status


class StepperAgentConfig(BaseResponsesAPIAgentConfig):
    resources_server: ResourcesServerRef
    model_server: ModelServerRef
    max_steps: int = 10


class StepperRunRequest(BaseRunRequest):
    task_idx: int


class StepperAgent(SimpleResponsesAPIAgent):
    config: StepperAgentConfig

    async def responses(self, request: Request, body: NeMoGymResponseCreateParamsNonStreaming = Body()) -> Any:
        raise NotImplementedError

    async def run(self, request: Request, body: StepperRunRequest) -> BaseVerifyResponse:
        env = self.config.resources_server.name
        reset = await self.server_client.post(server_name=env, url_path="/seed_session", json=body)
        await raise_for_status(reset)
        seeded = await reset.json()
        messages: list[Any] = [NeMoGymEasyInputMessage.model_validate(each) for each in seeded["obs"]]
        params = body.responses_create_params.model_copy(update={"tools": seeded["tools"]})
        trajectory: list[Any] = []
        for _ in range(self.config.max_steps):
            raw = await self.server_client.post(
                server_name=self.config.model_server.name,
                url_path="/v1/responses",
                json=params.model_copy(update={"input": messages + trajectory}),
            )
            await raise_for_status(raw)
            answer = NeMoGymResponse.model_validate(await raw.json())
            trajectory.extend(answer.output)
            calls = [o for o in answer.output if isinstance(o, NeMoGymResponseFunctionToolCall)]
            if not calls:
                break
            step = await self.server_client.post(
                server_name=env,
                url_path="/step",
                json={"env_id": seeded["env_id"], "action": [call.model_dump(mode="json") for call in calls]},
            )
            await raise_for_status(step)
            stepped = await step.json()
            trajectory.extend(stepped["obs"])
            if stepped["done"]:
                break
        answer = answer.model_copy(update={"output": trajectory})
        verify = await self.server_client.post(
            server_name=env,
            url_path="/verify",
            json={**body.model_dump(), "env_id": seeded["env_id"], "response": answer.model_dump()},
        )
        await raise_for_status(verify)
        await self.server_client.post(server_name=env, url_path="/close", json={"env_id": seeded["env_id"]})
        return BaseVerifyResponse.model_validate(await verify.json())


if __name__ == "__main__":
    StepperAgent.run_webserver()
