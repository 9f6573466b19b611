"""openai_model: a model server in front of any OpenAI-compatible endpoint, or several endpoints of one model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Literal

import orjson
from fastapi import FastAPI
from pydantic import Field, PrivateAttr, ValidationError, field_validator
from starlette.requests import Request
from starlette.responses import Response as HttpAnswer
from starlette.responses import StreamingResponse

from nemo_gym.base_responses_api_model import BaseResponsesAPIModelConfig, SimpleResponsesAPIModel, rollout_id_of
from nemo_gym.converters import (
    ChatDialect,
    to_chat_completion,
    to_chat_request,
    to_response,
    to_responses_request,
    unfold_metadata,
)
from nemo_gym.errors import ConversionError
from nemo_gym.schemas.chat_completions import ChatCompletion, ChatCompletionCreateParams
from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.schemas.validation import explain
from nemo_gym.serving.cancellation import until_disconnected
from nemo_gym.serving.http import RetryPolicy
from nemo_gym.serving.http_response import HttpResponse
from nemo_gym.serving.json_route import json_body
from nemo_gym.serving.middleware import error_response
from nemo_gym.serving.sessions import SESSION_ID_KEY
from responses_api_models.openai_model.replicas import Replicas
from responses_api_models.openai_model.upstream import Upstream

RESPONSES, CHAT_COMPLETIONS = "/responses", "/chat/completions"
OVERFLOW_SIGNS = ("context_length_exceeded", "maximum context length")
"""What engines write when a prompt does not fit."""


class OpenAIModelConfig(BaseResponsesAPIModelConfig):
    openai_base_url: str | list[str]
    """Where the endpoint's API begins, `/v1` included; a list for replicas of one model."""
    openai_api_key: str = Field(default="", repr=False)
    openai_model: str
    """The model's name at the endpoint, whatever name the request gives."""
    api: Literal["responses", "chat_completions"] = "responses"
    """Which API the endpoint has. Requests for the other one are translated."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Parameters added to every request; the request's own win."""

    timeout_s: float = Field(default=600.0, gt=0)
    """From request to complete answer, attempts and waits included."""
    max_attempts: int = Field(default=5, ge=1)
    max_retry_s: float = Field(default=120.0, ge=0)
    """After this long a refused request (429, 503, unreachable) is not sent again."""
    resend_lost_requests: bool = False
    """Whether a request is sent again when the connection broke before the answer came. The endpoint may then work, and
    charge, twice."""
    cool_down_s: float = Field(default=30.0, ge=0)
    """How long a replica that did not answer is left alone."""
    max_concurrent_requests: int | None = Field(default=None, ge=1)
    """Further requests wait. Per worker process."""

    reasoning_field: Literal["reasoning_content", "reasoning", "none"] = "reasoning_content"
    """With `api: chat_completions`: message field in which earlier reasoning is sent."""
    think_tags: bool = False
    """With `api: chat_completions`: whether reasoning stands in the text, as leading `<think>...</think>`."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    developer_role: Literal["developer", "system"] = "developer"

    @field_validator("openai_base_url")
    @classmethod
    def _are_urls(cls, value: str | list[str]) -> str | list[str]:
        urls = [value] if isinstance(value, str) else value
        if not urls:
            raise ValueError("the list is empty: at least one URL")
        for url in urls:
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"`{url}` must begin with http:// or https://")
        return value

    @property
    def base_urls(self) -> list[str]:
        return [self.openai_base_url] if isinstance(self.openai_base_url, str) else self.openai_base_url

    @property
    def dialect(self) -> ChatDialect:
        return ChatDialect(self.reasoning_field, self.think_tags, self.max_tokens_field, self.developer_role)


class OpenAIModel(SimpleResponsesAPIModel):
    config: OpenAIModelConfig

    _upstream: Upstream | None = PrivateAttr(default=None)

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        config = self.config
        self._upstream = Upstream(
            self.server_client.http,
            Replicas(config.base_urls, config.cool_down_s),
            api_key=config.openai_api_key,
            timeout_s=config.timeout_s,
            retry=RetryPolicy(
                max_attempts=config.max_attempts,
                max_elapsed_s=config.max_retry_s,
                retry_delivered=config.resend_lost_requests,
            ),
            max_concurrent_requests=config.max_concurrent_requests,
        )
        return app

    async def responses(self, request: Request, body: ResponseCreateParams) -> Response | HttpAnswer:
        try:
            if self.config.api == "responses":
                return await self._pass_on(request, RESPONSES, _with_metadata_unfolded(request, body), body.stream)
            if body.stream:
                return stream_refused("responses")
            params = to_chat_request(body, self.config.dialect)
        except ConversionError as error:
            return error_response(400, "invalid_request", str(error))
        answer = await self._call(request, CHAT_COMPLETIONS, params.model_dump(mode="json", exclude_none=True))
        try:
            return (
                to_response(ChatCompletion.model_validate(answer.parse()), body, self.config.dialect)
                if answer.ok
                else self._refusal(answer)
            )
        except (ValidationError, ConversionError) as error:
            return unusable_answer(error)

    async def chat_completions(self, request: Request, body: ChatCompletionCreateParams) -> ChatCompletion | HttpAnswer:
        if self.config.api == "chat_completions":
            return await self._pass_on(request, CHAT_COMPLETIONS, json_body(request), body.stream)
        if body.stream:
            return stream_refused("chat_completions")
        try:
            params = to_responses_request(body)
        except ConversionError as error:
            return error_response(400, "invalid_request", str(error))
        answer = await self._call(request, RESPONSES, params.model_dump(mode="json", exclude_none=True))
        try:
            return to_chat_completion(Response.model_validate(answer.parse())) if answer.ok else self._refusal(answer)
        except (ValidationError, ConversionError) as error:
            return unusable_answer(error)

    async def _pass_on(self, request: Request, path: str, params: dict[str, Any], stream: bool | None) -> HttpAnswer:
        """The endpoint's own answer, byte for byte; an error in our own shape."""
        if stream:
            return await self._stream(request, path, params)
        answer = await self._call(request, path, params)
        return HttpAnswer(answer.body, media_type="application/json") if answer.ok else self._refusal(answer)

    async def _call(self, request: Request, path: str, params: dict[str, Any]) -> HttpResponse:
        """Raises a `RequestError` where the endpoint gives no answer."""
        assert self._upstream is not None, "setup_webserver() was called"
        work = self._upstream.post(path, self._body(params), _rollout_key(request))
        return await until_disconnected(request, work)

    async def _stream(self, request: Request, path: str, params: dict[str, Any]) -> HttpAnswer:
        """The endpoint's events as they arrive."""
        assert self._upstream is not None, "setup_webserver() was called"
        async with AsyncExitStack() as opening:
            stream = self._upstream.stream(path, self._body(params), _rollout_key(request))
            answer = await opening.enter_async_context(stream)
            if answer.status >= 400:
                body = b"".join([chunk async for chunk in answer])
                return self._refusal(HttpResponse("", answer.status, answer.headers, body))
            opened = opening.pop_all()

        async def chunks() -> AsyncIterator[bytes]:
            async with opened:
                async for chunk in answer:
                    yield chunk

        return StreamingResponse(chunks(), media_type=answer.headers.get("content-type", "text/event-stream"))

    def _body(self, params: dict[str, Any]) -> bytes:
        """The request as the endpoint gets it: what is null left out, its model's name, our extra parameters."""
        given = {key: value for key, value in params.items() if value is not None}
        if not given.get("tools"):
            given.pop("tools", None)  # OpenAI refuses an empty list
        return orjson.dumps({**self.config.extra_body, **given, "model": self.config.openai_model})

    def _refusal(self, answer: HttpResponse) -> HttpAnswer:
        """The endpoint's error with its status and message, the API key masked."""
        message = _error_message(answer)
        if self.config.openai_api_key:
            message = message.replace(self.config.openai_api_key, "***")
        if answer.status == 400 and any(sign in answer.text.lower() for sign in OVERFLOW_SIGNS):
            return error_response(400, "invalid_request_error", message, code="context_length_exceeded")
        refusal = error_response(answer.status, "upstream_error", message)
        if "retry-after" in answer.headers:
            refusal.headers["retry-after"] = answer.headers["retry-after"]
        return refusal


def stream_refused(api: str) -> HttpAnswer:
    """The refusal of a stream that would have to be translated."""
    route = "/v1/responses" if api == "chat_completions" else "/v1/chat/completions"
    message = f"`stream`: the endpoint has another API, and events are not translated; leave it out, or call {route}"
    return error_response(400, "invalid_request", message)


def unusable_answer(error: ValidationError | ConversionError) -> HttpAnswer:
    """HTTP 502: the endpoint's answer is not what its API promises."""
    message = "; ".join(explain(error)[:5]) if isinstance(error, ValidationError) else str(error)
    return error_response(502, "bad_upstream_answer", f"the endpoint's answer cannot be used: {message}")


def _with_metadata_unfolded(request: Request, body: ResponseCreateParams) -> dict[str, Any]:
    """The request as it came, with the older form of extras made direct parameters. Raises `ConversionError`."""
    unfolded = unfold_metadata(body)
    params: dict[str, Any] = json_body(request)
    return params if unfolded is body else unfolded.model_dump(mode="json", exclude_none=True)


def _rollout_key(request: Request) -> str:
    """What ties the model calls of a rollout together."""
    return rollout_id_of(request) or str(request.session[SESSION_ID_KEY])


def _error_message(answer: HttpResponse) -> str:
    """What the endpoint says is wrong: `error.message` or `message` of its JSON, else the text."""
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        body = None
    if isinstance(body, dict):
        error = body.get("error", body)
        message = error.get("message", error.get("detail")) if isinstance(error, dict) else error
        if message:
            return str(message)[:2000]
    return answer.text[:500] or f"HTTP {answer.status} without a body"


if __name__ == "__main__":
    OpenAIModel.run_webserver()
