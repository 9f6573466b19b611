"""answer_judge: a model server compares the answer with the expected one; twice, with the sides swapped."""

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, PrivateAttr

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseRunRequest,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)
from nemo_gym.config_types import ModelServerRef
from nemo_gym.openai_utils import (
    NeMoGymEasyInputMessage,
    NeMoGymResponse,
    NeMoGymResponseCreateParamsNonStreaming,
)


class AnswerJudgeConfig(BaseResourcesServerConfig):
    judge_model_server: ModelServerRef
    judge_responses_create_params: NeMoGymResponseCreateParamsNonStreaming
    judge_prompt_template_fpath: str = "prompts/judge.txt"
    judge_equal_label: str = "[[equal]]"
    judge_system_message: str | None = None
    judge_endpoint_max_concurrency: int | None = 64
    check_twice_swap: bool = False


class AnswerJudgeRunRequest(BaseRunRequest):
    expected_answer: str | None = None
    metadata: dict[str, Any] | None = None


class AnswerJudgeVerifyRequest(AnswerJudgeRunRequest, BaseVerifyRequest):
    pass


class JudgeEvaluation(BaseModel):
    responses_create_params: NeMoGymResponseCreateParamsNonStreaming
    response: NeMoGymResponse
    verdict_label: str | None = None


class AnswerJudgeVerifyResponse(BaseVerifyResponse):
    expected_answer: str
    judge_evaluations: list[JudgeEvaluation]


def extract_text(response: NeMoGymResponse) -> str:
    for output in reversed(response.output):
        if getattr(output, "type", None) == "message" and getattr(output, "role", None) == "assistant":
            content: str | list = output.content
            if isinstance(content, str):
                return content
            return "\n".join(part.text for part in content if getattr(part, "type", None) == "output_text")
    return ""


class AnswerJudgeServer(SimpleResourcesServer):
    config: AnswerJudgeConfig
    _prompt_template: str = PrivateAttr(default="")

    def model_post_init(self, context: Any) -> None:
        self._prompt_template = (Path(__file__).parent / self.config.judge_prompt_template_fpath).read_text().strip()
        limit = self.config.judge_endpoint_max_concurrency
        self._judge_semaphore = asyncio.Semaphore(value=limit) if limit else nullcontext()

    def setup_webserver(self) -> FastAPI:
        return super().setup_webserver()

    async def verify(self, body: AnswerJudgeVerifyRequest) -> AnswerJudgeVerifyResponse:
        if not body.expected_answer:
            raise ValueError("expected_answer is required")
        answer = extract_text(body.response)
        pairs = [(body.expected_answer, answer)]
        if self.config.check_twice_swap:
            pairs.append((answer, body.expected_answer))
        evaluations = []
        equal = True
        for expected, given in pairs:
            evaluations.append(await self._evaluate(expected, given))
            equal = equal and evaluations[-1].verdict_label == self.config.judge_equal_label
            if not equal:
                break
        payload = body.model_dump()
        payload.pop("expected_answer", None)
        return AnswerJudgeVerifyResponse(
            **payload, reward=float(equal), expected_answer=body.expected_answer, judge_evaluations=evaluations
        )

    async def _evaluate(self, expected: str, given: str) -> JudgeEvaluation:
        params = self.config.judge_responses_create_params.model_copy(deep=True)
        messages: list[NeMoGymEasyInputMessage] = []
        if self.config.judge_system_message:
            messages.append(NeMoGymEasyInputMessage(role="system", content=self.config.judge_system_message))
        prompt = self._prompt_template.format(expected=expected, given=given)
        messages.append(NeMoGymEasyInputMessage(role="user", content=prompt))
        params.input = messages
        async with self._judge_semaphore:
            answer = await self.server_client.post(
                server_name=self.config.judge_model_server.name, url_path="/v1/responses", json=params
            )
            judge_response = NeMoGymResponse.model_validate(await answer.json())
        evaluation = JudgeEvaluation(responses_create_params=params, response=judge_response, verdict_label=None)
        last_output = judge_response.output[-1]
        if last_output.type == "message" and self.config.judge_equal_label in last_output.content[-1].text:
            evaluation.verdict_label = self.config.judge_equal_label
        return evaluation


if __name__ == "__main__":
    AnswerJudgeServer.run_webserver()
