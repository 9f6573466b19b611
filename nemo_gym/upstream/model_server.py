"""What model servers in front of an OpenAI-compatible endpoint subclass: it may have either API."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import orjson
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError
from starlette.requests import Request
from starlette.responses import Response as HttpAnswer

from nemo_gym.base_responses_api_model import BaseResponsesAPIModelConfig, SimpleResponsesAPIModel, rollout_id_of
from nemo_gym.converters import (
    OPENAI_DIALECT,
    ChatDialect,
    ChatStream,
    ResponsesStream,
    to_chat_completion,
    to_chat_request,
    to_response,
    to_responses_request,
)
from nemo_gym.errors import ConversionError, RequestError
from nemo_gym.schemas.chat_completions import ChatCompletion, ChatCompletionCreateParams
from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.serving.http import RetryPolicy
from nemo_gym.serving.http_response import HttpResponse
from nemo_gym.serving.sessions import SESSION_ID_KEY
from nemo_gym.serving.sse import DONE, sse, sse_objects
from nemo_gym.upstream.refusals import refusal, untranslatable, unusable_answer, unusable_because
from nemo_gym.upstream.relay import Relay, RelayedAnswer
from nemo_gym.upstream.replicas import Replicas
from nemo_gym.upstream.slots import Allowed, EndpointLoad
from nemo_gym.upstream.upstream import Upstream

log = logging.getLogger(__name__)

Json = dict[str, Any]

RESPONSES, CHAT_COMPLETIONS = "/responses", "/chat/completions"
CONCURRENCY_ROUTE = "/concurrency"
"""Where a model server tells, and is told, how many requests its endpoints get at a time."""


class UpstreamModelConfig(BaseResponsesAPIModelConfig):
    """Keys that all of them take. Subclasses say how the endpoint's model is called, and its key."""

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
    max_concurrent_requests: Allowed = None
    """Of each replica, per worker process; further requests wait. `auto`: as many as turn out to be answered best."""
    max_answer_bytes: int = Field(default=256 << 20, gt=0)
    """A longer answer of the endpoint is refused (streams are passed on, whatever their length)."""

    @property
    def endpoint_key(self) -> str:
        """Sent as bearer token, where it is not empty; masked in errors."""
        raise NotImplementedError(f"{type(self).__name__} must define endpoint_key")

    @property
    def endpoint_model(self) -> str:
        """The model's name at the endpoint, whatever name a request gives."""
        raise NotImplementedError(f"{type(self).__name__} must define endpoint_model")

    @property
    def dialect(self) -> ChatDialect:
        """How the endpoint words chat, where it has that API."""
        return OPENAI_DIALECT


def as_urls(value: str | list[str]) -> list[str]:
    """The URLs of a key that holds one or several. Raises ValueError where there is none, or something else."""
    urls = [value] if isinstance(value, str) else value
    if not urls:
        raise ValueError("the list is empty: at least one URL")
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"`{url}` must begin with http:// or https://")
    return urls


class ConcurrencyRequest(BaseModel):
    """`POST /concurrency`."""

    model_config = ConfigDict(extra="forbid")

    max_concurrent_requests: Allowed


class ConcurrencyReport(BaseModel):
    """What `/concurrency` answers."""

    model_config = ConfigDict(extra="forbid")

    max_concurrent_requests: Allowed
    endpoints: list[EndpointLoad]


class UpstreamModel(SimpleResponsesAPIModel):
    """Passes requests on (`pass_on`), or has them answered by the other API and translated (`by_chat`, `by_responses`).

    Override `base_urls`; and `prepared` and `completed` to add to requests and answers of a chat endpoint.
    """

    config: UpstreamModelConfig

    _upstream: Upstream | None = PrivateAttr(default=None)
    _allowed: Allowed = PrivateAttr(default=None)
    """`max_concurrent_requests` as it is now."""

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        config = self.config
        self._allowed = config.max_concurrent_requests
        self._upstream = Upstream(
            self.server_client.http,
            Replicas(self.base_urls(), config.cool_down_s),
            api_key=config.endpoint_key,
            timeout_s=config.timeout_s,
            retry=RetryPolicy(
                max_attempts=config.max_attempts,
                max_elapsed_s=config.max_retry_s,
                retry_delivered=config.resend_lost_requests,
            ),
            max_concurrent_requests=self._allowed,
            max_answer_bytes=config.max_answer_bytes,
        )
        app.get(CONCURRENCY_ROUTE)(self._concurrency)
        app.post(CONCURRENCY_ROUTE)(self._change_concurrency)
        return app

    def base_urls(self) -> list[str]:
        """Where the API of each replica begins, `/v1` included."""
        raise NotImplementedError(f"{type(self).__name__} must define base_urls()")

    def prepared(self, params: Json) -> Json:
        """The chat request to send instead of `params`."""
        return params

    async def completed(self, request: Request, params: Json, completion: Json) -> Json:
        """The chat answer to give instead of `completion`, which answers `params`. Raises `ConversionError`."""
        return completion

    async def pass_on(self, request: Request, path: str, params: Json) -> HttpAnswer:
        """The endpoint's own answer, byte for byte, streamed or not; an error in our own shape."""
        if params.get("stream"):
            return await self.stream(request, path, params, _as_it_comes)
        answer = await self.call(request, path, params)
        return HttpAnswer(answer.body, media_type="application/json") if answer.ok else self.refuse(answer)

    async def by_chat(self, request: Request, body: ResponseCreateParams) -> Response | HttpAnswer:
        """A Responses request, answered by a chat endpoint."""
        try:
            asked = to_chat_request(body, self.config.dialect).model_dump(mode="json", exclude_none=True)
        except ConversionError as error:
            return untranslatable(error)
        params = self.prepared(asked)
        if body.stream:
            params["stream_options"] = {"include_usage": True}
            events = partial(self._responses_events, request, body, params)
            return await self.stream(request, CHAT_COMPLETIONS, params, events)
        answer = await self.call(request, CHAT_COMPLETIONS, params)
        if not answer.ok:
            return self.refuse(answer)
        try:
            completion = await self.completed(request, params, as_object(answer))
            return to_response(ChatCompletion.model_validate(completion), body, self.config.dialect)
        except (ValidationError, ConversionError) as error:
            return unusable_answer(error)

    async def by_responses(self, request: Request, body: ChatCompletionCreateParams) -> ChatCompletion | HttpAnswer:
        """A chat request, answered by a Responses endpoint."""
        try:
            params = to_responses_request(body).model_dump(mode="json", exclude_none=True)
        except ConversionError as error:
            return untranslatable(error)
        if body.stream:
            return await self.stream(request, RESPONSES, params, partial(self._chat_chunks, body))
        answer = await self.call(request, RESPONSES, params)
        if not answer.ok:
            return self.refuse(answer)
        try:
            return to_chat_completion(Response.model_validate(as_object(answer)))
        except (ValidationError, ConversionError) as error:
            return unusable_answer(error)

    async def call(self, request: Request, path: str, params: Json, *, at_root: bool = False) -> HttpResponse:
        """The endpoint's answer, whatever its status. Raises a `RequestError` where there is none."""
        return await self.post(path, params, _rollout_key(request), at_root=at_root)

    async def post(self, path: str, params: Json, rollout_key: str, *, at_root: bool = False) -> HttpResponse:
        """As `call`, for whoever waits for it."""
        assert self._upstream is not None, "setup_webserver() was called"
        return await self._upstream.post(path, self._body(params), rollout_key, at_root=at_root)

    async def stream(
        self, request: Request, path: str, params: Json, translate: Callable[[Relay], AsyncIterator[bytes]]
    ) -> HttpAnswer:
        """The endpoint's events as they arrive, as `translate` words them; a refusal is an ordinary error."""
        assert self._upstream is not None, "setup_webserver() was called"
        relay = Relay(self._upstream.stream(path, self._body(params), _rollout_key(request)))
        await relay.open()
        if relay.status < 400:
            return RelayedAnswer(relay, translate(relay))
        try:
            body = b"".join([piece async for piece in relay])
        finally:
            await relay.close()
        return self.refuse(HttpResponse("", relay.status, relay.headers, body))

    def refuse(self, answer: HttpResponse) -> HttpAnswer:
        """The endpoint's refusal as ours, the key masked."""
        return refusal(answer, self.config.endpoint_key)

    async def _concurrency(self) -> ConcurrencyReport:
        """`GET /concurrency`: how this process uses each replica, and how many requests it may send."""
        assert self._upstream is not None, "setup_webserver() was called"
        return ConcurrencyReport(max_concurrent_requests=self._allowed, endpoints=self._upstream.loads())

    async def _change_concurrency(self, body: ConcurrencyRequest) -> ConcurrencyReport:
        """`POST /concurrency`: another `max_concurrent_requests`, until this process ends."""
        assert self._upstream is not None, "setup_webserver() was called"
        self._allowed = body.max_concurrent_requests
        self._upstream.allow(self._allowed)
        return await self._concurrency()

    def _body(self, params: Json) -> bytes:
        """The request as the endpoint gets it: what is null left out, its model's name, our extra parameters."""
        given = {key: value for key, value in params.items() if value is not None}
        if not given.get("tools"):
            given.pop("tools", None)  # OpenAI refuses an empty list
        return orjson.dumps({**self.config.extra_body, **given, "model": self.config.endpoint_model})

    async def _responses_events(
        self, request: Request, body: ResponseCreateParams, params: Json, relay: Relay
    ) -> AsyncIterator[bytes]:
        stream = ResponsesStream(body, self.config.dialect)
        try:
            async for chunk in sse_objects(relay, CHAT_COMPLETIONS):
                for event in stream.add(chunk):
                    yield sse(event, event["type"])
            completion = await self.completed(request, params, stream.completion)
            last = stream.end(ChatCompletion.model_validate(completion))
        except (RequestError, ValidationError, ConversionError) as error:
            last = stream.fail(_why_it_broke(error))
        for event in last:
            yield sse(event, event["type"])

    async def _chat_chunks(self, body: ChatCompletionCreateParams, relay: Relay) -> AsyncIterator[bytes]:
        stream = ChatStream(body)
        try:
            async for event in sse_objects(relay, RESPONSES):
                for chunk in stream.add(event):
                    yield sse(chunk)
        except (RequestError, ValidationError, ConversionError) as error:
            yield sse({"error": {"type": "upstream_error", "message": _why_it_broke(error)}})
        yield DONE


def as_object(answer: HttpResponse) -> Json:
    """The body of an answer. Raises `ConversionError` where it is no JSON object, `BadBody` where it is no JSON."""
    body = answer.parse()
    if not isinstance(body, dict):
        raise ConversionError(f"it is no JSON object but {answer.text[:100]!r}")
    return body


async def _as_it_comes(relay: Relay) -> AsyncIterator[bytes]:
    async for piece in relay:
        yield piece


def _rollout_key(request: Request) -> str:
    """What ties the model calls of a rollout together."""
    return rollout_id_of(request) or str(request.session[SESSION_ID_KEY])


def _why_it_broke(error: RequestError | ValidationError | ConversionError) -> str:
    reason = str(error) if isinstance(error, RequestError) else unusable_because(error)
    log.warning("a stream broke off: %s", reason)
    return reason
