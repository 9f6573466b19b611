"""Both APIs of a model server whose calls are recorded: what arrives becomes a call, what is recorded an answer."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response as HttpAnswer
from starlette.responses import StreamingResponse

from nemo_gym.base_responses_api_model import IDEMPOTENCY_HEADER, rollout_id_of
from nemo_gym.converters import OPENAI_DIALECT, ChatDialect, ResponsesStream, to_chat_request, to_response
from nemo_gym.errors import ConversionError, EngineRefusedError
from nemo_gym.ledger.call import Incoming, RecordedCall
from nemo_gym.ledger.recorder import Recorder
from nemo_gym.schemas.chat_completions import ChatCompletion, ChatCompletionCreateParams
from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.schemas.validation import explain
from nemo_gym.serving.error_answers import error_response
from nemo_gym.serving.json_route import json_body
from nemo_gym.serving.sessions import SESSION_ID_KEY
from nemo_gym.serving.sse import DONE, MEDIA_TYPE, sse

Json = dict[str, Any]

_SETTINGS = ("tools", "chat_template_kwargs", "reasoning_effort")


class LedgerRoutes:
    """What a model server's `responses()` and `chat_completions()` return."""

    def __init__(
        self, recorder: Recorder, *, model: str, gives_tokens: bool, dialect: ChatDialect = OPENAI_DIALECT
    ) -> None:
        """`model`: its name in answers; `gives_tokens`: whether they carry token fields."""
        self._recorder, self._model, self._gives_tokens, self._dialect = recorder, model, gives_tokens, dialect

    async def responses(self, request: Request, body: ResponseCreateParams) -> Response | HttpAnswer:
        """`POST /v1/responses`. With `previous_response_id`, `input` and the prompt's tokens are what came since."""
        conversation = body.model_copy(update={"instructions": None, "previous_response_id": None, "stream": None})
        try:
            asked = to_chat_request(conversation, self._dialect).model_dump(mode="json", exclude_none=True)
        except ConversionError as error:
            return _invalid(str(error))
        previous = body.previous_response_id
        previous_id = None if previous is None else previous.removeprefix("resp_")
        completion = await self._completion(request, asked, instructions=body.instructions, previous_id=previous_id)
        if isinstance(completion, HttpAnswer):
            return completion
        if body.stream:
            return _streamed(self._events(body, completion))
        try:
            response = to_response(completion, body, self._dialect)
        except (ConversionError, ValidationError) as error:
            return _unusable(error)
        response.previous_response_id = previous
        return response

    async def chat_completions(self, request: Request, body: ChatCompletionCreateParams) -> ChatCompletion | HttpAnswer:
        """`POST /v1/chat/completions`."""
        if body.n not in (None, 1):
            return _invalid("`n` is above 1: a recorded model call has one answer; send the request several times")
        asked = {key: value for key, value in json_body(request).items() if value is not None and key != "stream"}
        completion = await self._completion(request, asked)
        if isinstance(completion, HttpAnswer) or not body.stream:
            return completion
        return _streamed([sse(_chunk(completion)), DONE])

    async def _completion(
        self, request: Request, asked: Json, *, instructions: str | None = None, previous_id: str | None = None
    ) -> ChatCompletion | HttpAnswer:
        incoming = Incoming(
            rollout_key=rollout_id_of(request) or str(request.session[SESSION_ID_KEY]),
            settings={"instructions": instructions, **{name: asked[name] for name in _SETTINGS if asked.get(name)}},
            entries=asked["messages"],
            request={key: value for key, value in asked.items() if key not in {"messages", *_SETTINGS}},
            previous_id=previous_id,
            retry_key=await retry_key(request),
            continues_last=asked.get("continue_final_message") is True,
        )
        try:
            call = await self._recorder.answer(incoming)
            return self._answer(call, short=previous_id is not None)
        except EngineRefusedError as refused:
            return HttpAnswer(refused.body, refused.status, refused.headers, media_type="application/json")
        except (ConversionError, ValidationError) as error:
            return _unusable(error)

    def _answer(self, call: RecordedCall, *, short: bool) -> ChatCompletion:
        tokens = call.token_fields(short=short) if self._gives_tokens else {}
        [message] = call.answer
        choice = {"index": 0, "message": {**message, **tokens}, "finish_reason": call.finish_reason}
        sampled = len(call.generation.ids)
        return ChatCompletion.model_validate(
            {
                "id": f"chatcmpl-{call.stem}",
                "created": call.created,
                "model": self._model,
                "choices": [{**choice, "logprobs": call.generation.logprobs}],
                "usage": {
                    "prompt_tokens": call.prompt_length,
                    "completion_tokens": sampled,
                    "total_tokens": call.prompt_length + sampled,
                },
            }
        )

    def _events(self, body: ResponseCreateParams, completion: ChatCompletion) -> Iterable[bytes]:
        stream = ResponsesStream(body, self._dialect)
        for event in [*stream.add(_chunk(completion)), *stream.end(completion)]:
            yield sse(event, event["type"])


async def retry_key(request: Request) -> str | None:
    """What tells that a request is one sent before; None where neither header nor rollout says so."""
    given = request.headers.get(IDEMPOTENCY_HEADER)
    if given is not None:
        return given
    if rollout_id_of(request) is None:
        return None
    return hashlib.blake2b(request.url.path.encode() + b"\n" + await request.body(), digest_size=16).hexdigest()


def _chunk(completion: ChatCompletion) -> Json:
    """The whole answer as the only chunk of a stream."""
    whole = completion.model_dump(mode="json", exclude_none=True)
    [choice] = whole.pop("choices")
    delta = choice.pop("message")
    for index, call in enumerate(delta.get("tool_calls") or ()):
        call["index"] = index
    return {**whole, "object": "chat.completion.chunk", "choices": [{**choice, "delta": delta}]}


def _streamed(pieces: Iterable[bytes]) -> HttpAnswer:
    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return StreamingResponse(body(), media_type=MEDIA_TYPE)


def _invalid(message: str) -> HttpAnswer:
    return error_response(400, "invalid_request", message)


def _unusable(error: ConversionError | ValidationError) -> HttpAnswer:
    reason = "; ".join(explain(error)[:5]) if isinstance(error, ValidationError) else str(error)
    return error_response(502, "bad_upstream_answer", f"the engine's answer cannot be used: {reason}")
