"""gsm8k: one word problem, one number after `####`; reward 1.0 when it is the right one."""

from __future__ import annotations

from typing import ClassVar

from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseVerifyRequest,
    BaseVerifyResponse,
    ReverifyMode,
    SimpleResourcesServer,
)
from nemo_gym.datasets.math_task import MathTask
from resources_servers.gsm8k.verifier import grade_answer


class Gsm8kConfig(BaseResourcesServerConfig):
    strict_skyrl: bool = False
    """Whether answers are read as skyrl-gym 0.4.0 reads them: the first `#### ` and what follows, compared as text."""


class Gsm8kVerifyRequest(MathTask, BaseVerifyRequest):
    pass


class Gsm8kVerifyResponse(BaseVerifyResponse):
    extracted_answer: str | None
    """The number that was read; None: the answer is not in the form asked for."""


class Gsm8kResourcesServer(SimpleResourcesServer):
    config: Gsm8kConfig

    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.STATELESS

    async def verify(self, body: Gsm8kVerifyRequest) -> Gsm8kVerifyResponse:
        grade = grade_answer(body.response.output_text, body.answer, strict_skyrl=self.config.strict_skyrl)
        fields = body.model_dump(exclude_unset=True)
        return Gsm8kVerifyResponse.model_validate(
            fields | {"reward": float(grade.correct), "extracted_answer": grade.answer}
        )


if __name__ == "__main__":
    Gsm8kResourcesServer.run_webserver()
