"""For tests: a vLLM whose model says what it is told to, one token a character.

Fields and refusals are those that vLLM 0.32.0 was seen to give (`tests/real_vllm` runs the real one).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from nemo_gym.ledger.chat_markup import read_chat_markup

Json = dict[str, Any]

LOG_PROB = -0.5
"""Of every token."""
ID = "b810be08516ada63"
END = "\x03"
"""The token by which the model ends what it wrote."""
WEIGHTS = "7"
"""Version of the weights, as a trainer told vLLM."""


@dataclass(frozen=True)
class Said:
    """What the model says to one request."""

    text: str = ""
    reasoning: str | None = None
    """Told apart from the text, as a reasoning parser does."""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Name and arguments of each tool call."""
    finish_reason: str = "stop"
    stop_string: str | None = None
    """Ended what was written, in place of the model itself."""

    @property
    def markup(self) -> str:
        """What was generated, as the model writes reasoning and calls; without what ended it."""
        thought = f"<think>{self.reasoning}</think>" if self.reasoning else ""
        return thought + self.text + "".join(_written_call(name, arguments) for name, arguments in self.calls)

    @property
    def sampled(self) -> str:
        """The same with what ended it."""
        if self.finish_reason != "stop":
            return self.markup
        return self.markup + (self.stop_string or END)

    @property
    def written(self) -> str:
        """All that was generated."""
        return (self.reasoning or "") + self.text + "".join(name + arguments for name, arguments in self.calls)


@dataclass
class FakeVLLM:
    """`answer` gets each chat request; `app` serves it."""

    answer: Callable[[Json], Said]
    max_model_len: int = 2048
    gives_token_ids: bool = True
    """False: a vLLM from before `return_token_ids`."""
    scale_out: bool = False
    """Whether it was started with `--enable-scale-out`."""
    processed_logprobs: bool = True
    """Whether it was started with `--logprobs-mode processed_logprobs`."""
    corrects: bool = False
    """Whether it is a trainer's: its chat route takes the prompt so far from the tokens on the last answer."""
    asked: list[tuple[str, Json]] = field(default_factory=list)
    """Path and body of each request."""

    @property
    def app(self) -> Starlette:
        """The server."""
        return Starlette(
            routes=[
                Route("/health", lambda _: Response(), methods=["GET"]),
                Route("/tokenize", self._tokenize, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/completions", self._complete, methods=["POST"]),
                Route("/v1/chat/completions/render", self._render, methods=["POST"]),
                Route("/inference/v1/generate", self._generate, methods=["POST"]),
                Route("/v1/chat/completions/derender", self._derender, methods=["POST"]),
            ]
        )

    async def _tokenize(self, request: Request) -> Response:
        body = await self._body(request)
        ids = ids_of(body["prompt"]) if "prompt" in body else prompt_ids(body)
        return JSONResponse({"count": len(ids), "max_model_len": self.max_model_len, "tokens": ids, "token_strs": None})

    async def _chat(self, request: Request) -> Response:
        body = await self._body(request)
        prompt = corrected_prompt_ids(body["messages"]) if self.corrects else prompt_ids(body)
        refused = self._refusal(body, len(prompt))
        if refused is not None:
            return refused
        said = self.answer(body)
        if body.get("stream"):
            return StreamingResponse(self._chunks(body, prompt, said), media_type="text/event-stream; charset=utf-8")
        return JSONResponse(self._completion(body, prompt, said))

    async def _complete(self, request: Request) -> Response:
        body = await self._body(request)
        prompt = body["prompt"]
        refused = self._refusal(body, len(prompt))
        if refused is not None:
            return refused
        certain = body.get("allowed_token_ids")
        if certain is not None and len(certain) == 1 == body["max_tokens"]:
            log_prob = 0.0 if self.processed_logprobs else LOG_PROB
            logprobs = {"tokens": ["x"], "token_logprobs": [log_prob], "top_logprobs": [{"x": log_prob}]}
            choice = {"index": 0, "text": "x", "logprobs": logprobs, "finish_reason": "length", "token_ids": certain}
            return JSONResponse({**_frame("text_completion"), "choices": [choice]})
        said = self.answer(body)
        named = body.get("return_tokens_as_token_ids")
        tokens = [f"token_id:{ord(one)}" if named else one for one in said.sampled]
        choice = {
            "index": 0,
            "text": said.markup,
            "logprobs": {
                "text_offset": list(range(len(tokens))),
                "token_logprobs": [LOG_PROB] * len(tokens),
                "tokens": tokens,
                "top_logprobs": [{token: LOG_PROB} for token in tokens],
            },
            "finish_reason": said.finish_reason,
            "stop_reason": said.stop_string,
            "token_ids": self._ids(body, said.sampled),
            "prompt_logprobs": None,
            "prompt_token_ids": prompt if body.get("return_token_ids") and self.gives_token_ids else None,
            "routed_experts": None,
        }
        frame = {"id": f"cmpl-{ID}", "object": "text_completion", "created": 1795219306, "model": "tiny"}
        return JSONResponse({**frame, "choices": [choice], "usage": _usage(prompt, said.sampled)})

    async def _render(self, request: Request) -> Response:
        body = await self._body(request)
        if not self.scale_out:
            return _no_scale_out()
        mapped = ("temperature", "top_p", "top_k", "min_p", "seed", "stop", "logit_bias", "presence_penalty")
        sampling = {name: body[name] for name in mapped if body.get(name) is not None}
        forced = {"structural_tag": "{}"} if body.get("tool_choice") not in (None, "auto", "none") else None
        return JSONResponse(
            {
                "request_id": f"chatcmpl-{ID}",
                "token_ids": prompt_ids(body),
                "sampling_params": {"temperature": 1.0, "max_tokens": 16, **sampling, "structured_outputs": forced},
                "model": "tiny",
                "reasoning_ended": False,
                "reasoning_parser_kwargs": {"chat_template_kwargs": body.get("chat_template_kwargs") or {}},
                "priority": 0,
            }
        )

    async def _generate(self, request: Request) -> Response:
        body = await self._body(request)
        if not self.scale_out:
            return _no_scale_out()
        said = self.answer(body)
        as_text = body.get("output_mode") == "text"
        content = [
            {"token": one, "logprob": LOG_PROB, "bytes": list(one.encode()), "top_logprobs": []}
            if as_text
            else {"token_id": ord(one), "logprob": LOG_PROB, "rank": 1, "top_logprobs": []}
            for one in said.sampled
        ]
        choice = {
            "index": 0,
            "finish_reason": said.finish_reason,
            "stop_reason": said.stop_string,
            "token_ids": ids_of(said.sampled),
            "routed_experts": None,
            "weight_versions": [{"version": WEIGHTS, "start": 0, "end": len(said.sampled)}],
            "logprobs": {"content": content},
            **({"text": said.markup} if as_text else {}),
        }
        usage = _usage(body["token_ids"], said.sampled)
        return JSONResponse({"request_id": ID, "model": "tiny", "usage": usage, "choices": [choice]})

    async def _derender(self, request: Request) -> Response:
        body = await self._body(request)
        if not self.scale_out:
            return _no_scale_out()
        [choice] = body["generate_response"]["choices"]
        if not choice["token_ids"]:
            return _error("choice 0 has empty or null token_ids", None)
        text = "".join(map(chr, choice["token_ids"]))
        message = read_chat_markup(text, tools_declared=bool(body["chat_request"].get("tools")))
        reasoning = message.pop("reasoning_content", None)
        choice = {"index": 0, "message": {**message, "reasoning": reasoning}, "finish_reason": choice["finish_reason"]}
        return JSONResponse({**_frame("chat.completion"), "choices": [choice]})

    async def _body(self, request: Request) -> Json:
        body: Json = orjson.loads(await request.body())
        self.asked.append((request.url.path, body))
        return body

    def _refusal(self, body: Json, length: int) -> Response | None:
        limit, most = self.max_model_len, body.get("max_completion_tokens") or body.get("max_tokens")
        if length > limit:
            return _error(
                f"This model's maximum context length is {limit} tokens. However, your prompt contains at least "
                f"{limit + 1} input tokens, which exceeds this limit even without any output tokens. Please reduce the "
                f"length of the input prompt. (parameter=input_tokens, value={limit + 1})",
                "input_tokens",
            )
        if length == limit:
            return _error("max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)", "max_tokens")
        if most is not None and most > limit:
            return _error(
                f"max_tokens={most} cannot be greater than max_model_len={limit}. Please request fewer output tokens. "
                f"(parameter=max_tokens, value={most})",
                "max_tokens",
            )
        return None

    def _completion(self, body: Json, prompt: list[int], said: Said) -> Json:
        calls = [
            {"id": f"chatcmpl-tool-{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for index, (name, arguments) in enumerate(said.calls)
        ]
        triplet: Json = {}
        if self.corrects:
            ids = ids_of(said.sampled)
            log_probs = [LOG_PROB] * len(ids)
            triplet = {"prompt_token_ids": prompt, "generation_token_ids": ids, "generation_log_probs": log_probs}
        message = {
            **triplet,
            "role": "assistant",
            "content": None if said.reasoning and not said.text else said.text,
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            **({"tool_calls": calls} if calls else {}),
            "reasoning": said.reasoning,
        }
        choice = {
            "index": 0,
            "message": message,
            "logprobs": _logprobs(body, said.written),
            "finish_reason": said.finish_reason,
            "stop_reason": None,
            "token_ids": self._ids(body, said.written),
            "routed_experts": None,
        }
        wants_ids = body.get("return_token_ids") and self.gives_token_ids
        return {
            **_frame("chat.completion"),
            "choices": [choice],
            "service_tier": None,
            "system_fingerprint": "vllm-0.32.0-34da7d07",
            "usage": {
                **_usage(prompt, said.written),
                "prompt_tokens_details": None,
                "completion_tokens_details": None,
            },
            "prompt_logprobs": None,
            "prompt_token_ids": prompt if wants_ids else None,
            "prompt_text": None,
            "kv_transfer_params": None,
        }

    async def _chunks(self, body: Json, prompt: list[int], said: Said) -> AsyncIterator[bytes]:
        wants_ids = body.get("return_token_ids") and self.gives_token_ids
        first = self._chunk({"role": "assistant", "content": ""}, body, "")
        yield _event({**first, "prompt_token_ids": prompt if wants_ids else None, "prompt_text": None})
        for letter in said.reasoning or "":
            yield _event(self._chunk({"reasoning": letter}, body, letter))
        for letter in said.text:
            yield _event(self._chunk({"content": letter}, body, letter))
        for index, (name, arguments) in enumerate(said.calls):
            call = {"id": f"chatcmpl-tool-{index}", "type": "function", "index": index, "function": {"name": name}}
            yield _event(self._chunk({"content": None, "tool_calls": [call]}, body, name))
            for letter in arguments:
                piece = {"index": index, "function": {"arguments": letter}}
                yield _event(self._chunk({"content": None, "tool_calls": [piece]}, body, letter))
        yield _event(self._chunk({}, body, "", said.finish_reason))
        if (body.get("stream_options") or {}).get("include_usage"):
            yield _event({**_frame("chat.completion.chunk"), "choices": [], "usage": _usage(prompt, said.written)})
        yield b"data: [DONE]\n\n"

    def _chunk(self, delta: Json, body: Json, written: str, finish_reason: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": _logprobs(body, written), "finish_reason": finish_reason}
        return {
            **_frame("chat.completion.chunk"),
            "choices": [{**choice, "token_ids": self._ids(body, written) if written else None}],
        }

    def _ids(self, body: Json, written: str) -> list[int] | None:
        return ids_of(written) if body.get("return_token_ids") and self.gives_token_ids else None


def prompt_ids(body: Json) -> list[int]:
    """The prompt of a chat request, rendered and tokenized."""
    kwargs = body.get("chat_template_kwargs") or {}
    lines = [_rendered(message) for message in body["messages"]]
    if body.get("continue_final_message"):
        return ids_of("".join(lines).removesuffix("\n"))
    if not body.get("add_generation_prompt", True):
        return ids_of("".join(lines))
    return ids_of("".join(lines) + f"assistant:{kwargs.get('prefill', '')}")


def corrected_prompt_ids(messages: list[Json]) -> list[int]:
    """The prompt as a trainer's chat route builds it: up to the last answer with tokens from these, then rendered."""
    with_tokens = [index for index, message in enumerate(messages) if message.get("generation_token_ids")]
    if not with_tokens:
        return prompt_ids({"messages": messages})
    last = messages[with_tokens[-1]]
    later = ids_of("\n") + prompt_ids({"messages": messages[with_tokens[-1] + 1 :]})
    return [*last["prompt_token_ids"], *last["generation_token_ids"], *later]


def ids_of(text: str) -> list[int]:
    """One token a character."""
    return [ord(letter) for letter in text]


def _rendered(message: Json) -> str:
    """Like many templates, without the reasoning of earlier answers."""
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    written = "".join(_written_call(call["name"], call["arguments"]) for call in calls)
    return f"{message['role']}:{message.get('content') or ''}{written}\n"


def _written_call(name: str, arguments: str) -> str:
    return f'<tool_call>{{"name": "{name}", "arguments": {arguments}}}</tool_call>'


def _no_scale_out() -> Response:
    message = "Scale-out endpoints are disabled. Restart vllm serve with --enable-scale-out to enable them."
    error = {"message": message, "type": "PermissionDeniedError", "param": None, "code": 403}
    return JSONResponse({"error": error}, 403)


def _logprobs(body: Json, written: str) -> Json | None:
    if not body.get("logprobs") or not written:
        return None
    names = [f"token_id:{ord(one)}" if body.get("return_tokens_as_token_ids") else one for one in written]
    return {"content": [{"token": name, "logprob": LOG_PROB, "bytes": [], "top_logprobs": []} for name in names]}


def _frame(kind: str) -> Json:
    return {"id": f"chatcmpl-{ID}", "object": kind, "created": 1795219306, "model": "tiny"}


def _usage(prompt: list[int], written: str) -> Json:
    total = len(prompt) + len(written)
    return {"prompt_tokens": len(prompt), "total_tokens": total, "completion_tokens": len(written)}


def _event(chunk: Json) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _error(message: str, parameter: str | None) -> Response:
    error = {"message": message, "type": "BadRequestError", "param": parameter, "code": 400}
    return JSONResponse({"error": error}, 400)
