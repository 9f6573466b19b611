"""graded_essay: a judge gives marks out of ten, asked by `call_judge` with a prompt config."""

import re
from typing import Any

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)
from nemo_gym.config_types import ModelServerRef
from nemo_gym.judge import JudgeError, call_judge
from nemo_gym.openai_utils import NeMoGymResponseCreateParamsNonStreaming
from nemo_gym.prompt import PromptConfig, fill_prompt, load_prompt_config


class GradedEssayConfig(BaseResourcesServerConfig):
    judge_model_server: ModelServerRef
    judge_prompt_config: str


class GradedEssayVerifyRequest(BaseVerifyRequest):
    topic: str


class GradedEssayVerifyResponse(BaseVerifyResponse):
    marks: int


def parse_marks(text: str) -> int:
    found = re.search(r"marks: (\d+)", text)
    if found is None or int(found[1]) > 10:
        raise ValueError("no marks from 0 to 10")
    return int(found[1])


class GradedEssayServer(SimpleResourcesServer):
    config: GradedEssayConfig
    prompt: PromptConfig | None = None

    def model_post_init(self, context: Any) -> None:
        self.prompt = load_prompt_config(self.config.judge_prompt_config)
        super().model_post_init(context)

    async def verify(self, body: GradedEssayVerifyRequest) -> GradedEssayVerifyResponse:
        essay = body.response.output_text
        if not essay:
            raise JudgeError("there is no essay to mark")
        messages = fill_prompt(self.prompt, {"topic": body.topic, "essay": essay})
        params = NeMoGymResponseCreateParamsNonStreaming(input=messages)
        marks = await call_judge(self.server_client, self.config.judge_model_server.name, params, parse=parse_marks)
        return GradedEssayVerifyResponse(**body.model_dump(), reward=marks / 10, marks=marks)


if __name__ == "__main__":
    GradedEssayServer.run_webserver()
