"""What a model server subclasses: any engine behind OpenAI's Responses and Chat Completions APIs."""

from __future__ import annotations

from typing import ClassVar

from fastapi import Body, FastAPI
from starlette.requests import Request
from starlette.responses import Response as HttpAnswer

from nemo_gym.config_types import BaseServerConfig
from nemo_gym.schemas.chat_completions import ChatCompletion, ChatCompletionCreateParams
from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.schemas.rollout import ROLLOUT_ID_HEADER
from nemo_gym.serving.app import SimpleServer

CAPABILITIES_ROUTE = "/capabilities"
"""Where a model server tells what not every one can."""
IDEMPOTENCY_HEADER = "idempotency-key"
"""Equal on a request and the same one sent again."""
PREVIOUS_NOT_FOUND = "previous_response_not_found"
"""`error.code`, as OpenAI names it, where `previous_response_id` is not known: send the whole conversation."""

__all__ = ["BaseResponsesAPIModelConfig", "Body", "SimpleResponsesAPIModel", "rollout_id_of"]


class BaseResponsesAPIModelConfig(BaseServerConfig):
    """The configuration of a model server. Subclass it to add keys."""


class SimpleResponsesAPIModel(SimpleServer):
    """One model. Override `responses()` and `chat_completions()`.

    Both return the answer, or an `HttpAnswer` of their own: bytes that are passed on, or an error.

    Both routes are served under `/ng-rollout/<rollout id>/v1/...` too, so that a harness which can only be given a base
    URL is attributed to its rollout.
    """

    config: BaseResponsesAPIModelConfig

    continues_final_message: ClassVar[bool] = False
    """Whether requests with `continue_final_message: true` have the model go on writing the last assistant message."""

    @property
    def remembers_conversations(self) -> bool:
        """Whether `previous_response_id` names an earlier answer of the same rollout, so that `input` is only what came
        since; and whether a request with the same `Idempotency-Key` is answered as it was before."""
        return False

    async def responses(self, request: Request, body: ResponseCreateParams) -> Response | HttpAnswer:
        """`POST /v1/responses`: one model call."""
        raise NotImplementedError(f"{type(self).__name__} must define responses()")

    async def chat_completions(self, request: Request, body: ChatCompletionCreateParams) -> ChatCompletion | HttpAnswer:
        """`POST /v1/chat/completions`: one model call."""
        raise NotImplementedError(f"{type(self).__name__} must define chat_completions()")

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        for prefix in ("", "/ng-rollout/{rollout_id}"):
            app.post(f"{prefix}/v1/responses", response_model=None)(self.responses)
            app.post(f"{prefix}/v1/chat/completions", response_model=None)(self.chat_completions)
        app.get(CAPABILITIES_ROUTE)(self._capabilities)
        return app

    async def _capabilities(self) -> dict[str, bool]:
        return {
            "continue_final_message": self.continues_final_message,
            "previous_response_id": self.remembers_conversations,
        }


def rollout_id_of(request: Request) -> str | None:
    """The rollout that a model call belongs to, from its path or its header; None where the caller did not say."""
    from_path = request.path_params.get("rollout_id")
    return from_path if from_path is not None else request.headers.get(ROLLOUT_ID_HEADER)
