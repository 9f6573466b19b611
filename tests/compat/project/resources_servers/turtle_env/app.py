"""turtle_env: an environment with steps, in envs of its own by id; seeding answers with an observation and tools."""

import uuid
from typing import Any, Generic, TypeVar

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field, PrivateAttr

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseSeedSessionRequest,
    BaseSeedSessionResponse,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)
from nemo_gym.openai_utils import (
    NeMoGymEasyInputMessage,
    NeMoGymFunctionCallOutput,
    NeMoGymResponseFunctionToolCall,
    NeMoGymResponseInput,
)

TEnv = TypeVar("TEnv")


class Turtle:
    def __init__(self, goal: int) -> None:
        self.goal, self.position = goal, 0

    def move(self, steps: int) -> tuple[str, float, bool]:
        self.position += steps
        return f"You are at {self.position}.", float(self.position == self.goal), self.position >= self.goal


class TurtleConfig(BaseResourcesServerConfig):
    start: int = 0


class TurtleSeedRequest(BaseSeedSessionRequest):
    task_idx: int


class TurtleSeedResponse(BaseSeedSessionResponse):
    env_id: str
    obs: list[NeMoGymEasyInputMessage]
    tools: list[dict[str, Any]]


class TurtleStepRequest(BaseModel):
    env_id: str
    action: list[NeMoGymResponseFunctionToolCall]


class TurtleStepResponse(BaseModel):
    obs: NeMoGymResponseInput
    reward: float
    done: bool


class TurtleCloseRequest(BaseModel):
    env_id: str


class TurtleVerifyRequest(BaseVerifyRequest):
    env_id: str


class EnvServer(SimpleResourcesServer, Generic[TEnv]):
    config: BaseResourcesServerConfig
    env_id_to_env: dict[str, Any] = Field(default_factory=dict)
    env_id_to_total_reward: dict[str, float] = Field(default_factory=dict)

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/step")(self.step)
        app.post("/close")(self.close)
        return app

    async def close(self, body: TurtleCloseRequest) -> dict[str, str]:
        if self.env_id_to_env.pop(body.env_id, None) is None:
            raise HTTPException(404, "no such env")
        return {"message": "closed"}


class TurtleServer(EnvServer[Turtle]):
    config: TurtleConfig
    _closed: int = PrivateAttr(default=0)

    async def seed_session(self, body: TurtleSeedRequest) -> TurtleSeedResponse:
        env_id = str(uuid.uuid4())
        self.env_id_to_env[env_id] = Turtle(goal=body.task_idx)
        self.env_id_to_total_reward[env_id] = 0.0
        obs = [NeMoGymEasyInputMessage(role="user", content=f'CALL move {{"steps": {body.task_idx}}}')]
        parameters = {"type": "object", "properties": {"steps": {"type": "integer"}}}
        tools = [{"type": "function", "name": "move", "parameters": parameters, "strict": True}]
        return TurtleSeedResponse(env_id=env_id, obs=obs, tools=tools)

    async def step(self, body: TurtleStepRequest) -> TurtleStepResponse:
        import json

        outputs, total, done = [], 0.0, False
        for call in body.action:
            text, reward, done = self.env_id_to_env[body.env_id].move(**json.loads(call.arguments))
            total += reward
            outputs.append(NeMoGymFunctionCallOutput(call_id=call.call_id, output=text))
        self.env_id_to_total_reward[body.env_id] += total
        return TurtleStepResponse(obs=outputs, reward=total, done=done)

    async def verify(self, body: TurtleVerifyRequest) -> BaseVerifyResponse:
        return BaseVerifyResponse(**body.model_dump(), reward=self.env_id_to_total_reward[body.env_id])


if __name__ == "__main__":
    TurtleServer.run_webserver()
