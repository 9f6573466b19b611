"""openai_model: a model server in front of any OpenAI-compatible endpoint, or several endpoints of one model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator
from starlette.requests import Request
from starlette.responses import Response as HttpAnswer

from nemo_gym.converters import ChatDialect, unfold_metadata
from nemo_gym.errors import ConversionError
from nemo_gym.schemas.chat_completions import ChatCompletion, ChatCompletionCreateParams
from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.serving.json_route import json_body
from nemo_gym.upstream.model_server import (
    CHAT_COMPLETIONS,
    RESPONSES,
    UpstreamModel,
    UpstreamModelConfig,
    as_urls,
)
from nemo_gym.upstream.refusals import untranslatable


class OpenAIModelConfig(UpstreamModelConfig):
    openai_base_url: str | list[str]
    """Where the endpoint's API begins, `/v1` included; a list for replicas of one model."""
    openai_api_key: str = Field(default="", repr=False)
    openai_model: str
    """The model's name at the endpoint, whatever name the request gives."""
    api: Literal["responses", "chat_completions"] = "responses"
    """Which API the endpoint has. Requests for the other one are translated."""

    reasoning_field: Literal["reasoning_content", "reasoning", "none"] = "reasoning_content"
    """With `api: chat_completions`: message field in which earlier reasoning is sent."""
    think_tags: bool = False
    """With `api: chat_completions`: whether reasoning stands in the text, as leading `<think>...</think>`."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    developer_role: Literal["developer", "system"] = "developer"

    @field_validator("openai_base_url")
    @classmethod
    def _are_urls(cls, value: str | list[str]) -> list[str]:
        return as_urls(value)

    @property
    def endpoint_key(self) -> str:
        return self.openai_api_key

    @property
    def endpoint_model(self) -> str:
        return self.openai_model

    @property
    def dialect(self) -> ChatDialect:
        return ChatDialect(self.reasoning_field, self.think_tags, self.max_tokens_field, self.developer_role)


class OpenAIModel(UpstreamModel):
    config: OpenAIModelConfig

    def base_urls(self) -> list[str]:
        return as_urls(self.config.openai_base_url)

    async def responses(self, request: Request, body: ResponseCreateParams) -> Response | HttpAnswer:
        if self.config.api == "chat_completions":
            return await self.by_chat(request, body)
        try:
            return await self.pass_on(request, RESPONSES, _with_metadata_unfolded(request, body))
        except ConversionError as error:
            return untranslatable(error)

    async def chat_completions(self, request: Request, body: ChatCompletionCreateParams) -> ChatCompletion | HttpAnswer:
        if self.config.api == "responses":
            return await self.by_responses(request, body)
        return await self.pass_on(request, CHAT_COMPLETIONS, json_body(request))


def _with_metadata_unfolded(request: Request, body: ResponseCreateParams) -> dict[str, Any]:
    """The request as it came, with the older form of extras made direct parameters. Raises `ConversionError`."""
    unfolded = unfold_metadata(body)
    params: dict[str, Any] = json_body(request)
    return params if unfolded is body else unfolded.model_dump(mode="json", exclude_none=True)


if __name__ == "__main__":
    OpenAIModel.run_webserver()
