"""vLLM as a token engine: prompts go in as ids and come out as ids.

Rendering and encoding are `/tokenize`. Where vLLM has its scale-out routes (0.32 with `--enable-scale-out`), sampling
is `/inference/v1/generate` with the parameters that `/v1/chat/completions/render` makes of the request, and vLLM's own
parsers read what was written, `/v1/chat/completions/derender`. So grammars of forced and strict tool calls apply, which
`/v1/completions` holds back while it expects reasoning. Elsewhere sampling is `/v1/completions`, and reading is
`ledger.chat_markup`.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from nemo_gym.errors import ConversionError
from nemo_gym.ledger.chat_markup import read_chat_markup
from nemo_gym.ledger.engine import Generation
from nemo_gym.schemas.tokens import TOKEN_KEYS
from nemo_gym.serving.http_response import HttpResponse
from nemo_gym.upstream.model_server import as_object
from nemo_gym.upstream.refusals import engine_refusal
from nemo_gym.upstream.vllm_completions import (
    chat_logprobs,
    completion_request,
    ids_in_logprobs,
    not_by_ids,
    sampled_log_probs,
    wanted_logprobs,
)
from nemo_gym.upstream.vllm_tokens import tokenize_request

log = logging.getLogger(__name__)

Json = dict[str, Any]

_NOT_THERE = frozenset({403, 404, 405, 501})
"""How a vLLM without the scale-out routes answers; 0.32 without `--enable-scale-out` says 403."""
_NO_SCALE_OUT = (
    "vLLM has no scale-out routes (HTTP %d), so its own parsers cannot read what it writes: reasoning is what stands "
    "in <think>…</think>, tool calls what stands in <tool_call>…</tool_call>. For a model that writes them otherwise "
    "start vLLM 0.32 or newer with --enable-scale-out."
)
_RAW_LOG_PROBS = (
    "vLLM's log-probs are those before temperature, and `temperature` is %s: they are not those that tokens were "
    "sampled with. Start vLLM with `--logprobs-mode processed_logprobs`, or sample at temperature 1."
)
_PER_CALL = frozenset({"messages", "max_tokens", "max_completion_tokens", "seed", "logprobs", "top_logprobs", "stream"})
"""What of a request changes from call to call; the other parameters are rendered once."""
_KEPT_PARAMETERS = 256
"""So many rendered sampling parameters are remembered."""
_CERTAIN = 1e-3
"""So close to 0 is the log-prob of the only token there is."""
_PROMPT_TAIL = 64
"""So many last ids of the prompt vLLM gets for reading: they tell of the first word's space, and of reasoning begun."""
_RENDERED_TOO = ("reasoning_parser_kwargs", "cache_salt", "priority")
"""What of a rendered request goes into that to generate, beside the sampling parameters."""
_ANYTHING = [{"role": "user", "content": "."}]
"""Messages where vLLM wants some and does not look at them."""


class Post(Protocol):
    """Sends a request to vLLM; the model's name is added to it."""

    async def __call__(self, path: str, params: Json, rollout_key: str, *, at_root: bool = False) -> HttpResponse:
        """The answer, whatever its status. Raises a `RequestError` where there is none."""
        ...


@dataclass(frozen=True)
class VLLMGeneration(Generation):
    """What vLLM sampled, with what it takes to read it."""

    text: str | None = None
    """What was written, up to a stop string; None where vLLM is to decode it."""
    stop_reason: str | int | None = None
    """The stop string or token that ended it; None for the model's own end, and for a limit."""
    prompt_tail: list[int] = field(default_factory=list)

    @property
    def ends_in_stop_token(self) -> bool:
        """Whether the last id is the one that ended it."""
        return self.finish_reason == "stop" and not isinstance(self.stop_reason, str)


class VLLMEngine:
    """One model at vLLM, whose replicas all have the same settings. See `TokenEngine`.

    `template_kwargs` are arguments of the chat template that a request's own win over; `secret` is masked in errors.
    """

    def __init__(self, post: Post, *, template_kwargs: Json | None = None, secret: str = "") -> None:
        self._post, self._secret = post, secret
        self._template_kwargs = template_kwargs or {}
        self._scale_out: bool | None = None
        """Whether vLLM has those routes; None until one was asked for."""
        self._parameters: OrderedDict[bytes, Json] = OrderedDict()
        self._context_length: int | None = None
        self._turns = itertools.count()
        self._log_probs_are_raw: bool | None = None
        """None until it mattered."""

    async def render(self, request: Json) -> list[int]:
        """Refuses messages that are not only text."""
        messages = [_bare(message) for message in request["messages"]]
        return await self._tokenize(tokenize_request({**self.asked(request), "messages": messages}))

    async def encode(self, text: str) -> list[int]:
        return await self._tokenize({"prompt": text, "add_special_tokens": False}) if text else []

    async def context_length(self) -> int | None:
        if self._context_length is None:
            await self._tokenize({"prompt": ".", "add_special_tokens": False})
        return self._context_length

    async def generate(self, prompt_ids: Sequence[int], request: Json, rollout_key: str) -> VLLMGeneration:
        """Refuses `n` above 1, and what this vLLM cannot be asked by ids."""
        asked = self.asked(request)
        if asked.get("n") not in (None, 1):
            raise not_by_ids("`n` is above 1: a call with exact tokens has one answer; send it several times")
        max_tokens = asked.get("max_completion_tokens") or asked.get("max_tokens")
        if max_tokens is None:
            max_tokens = max(1, (await self.context_length() or 0) - len(prompt_ids))
        if asked.get("temperature") not in (None, 0, 1) and self._log_probs_are_raw is None:
            await self._look_at_log_probs(asked["temperature"], prompt_ids[0])
        rendered = await self._rendered(asked)
        if rendered is not None:
            return await self._generated(rendered, list(prompt_ids), asked, max_tokens, rollout_key)
        params = completion_request(asked, list(prompt_ids), max_tokens)
        choice = _only_choice(await self._object("/completions", params, rollout_key))
        logprobs = choice.get("logprobs")
        return VLLMGeneration(
            **_sampled(choice, sampled_log_probs(logprobs)),
            logprobs=chat_logprobs(logprobs) if asked.get("logprobs") else None,
            text=choice.get("text"),
            prompt_tail=list(prompt_ids[-_PROMPT_TAIL:]),
        )

    async def read(self, generation: Generation, request: Json) -> Json:
        assert isinstance(generation, VLLMGeneration), "it was generated here"
        asked = self.asked(request)
        if not self._scale_out:
            declared = bool(asked.get("tools")) and asked.get("tool_choice") != "none"
            return read_chat_markup(generation.text or "", declared)
        ids = generation.ids
        if isinstance(generation.stop_reason, str):
            # Decoding would bring back what the stop string cut off. These ids are for reading alone.
            ids = await self.encode(generation.text or "")
        elif generation.ends_in_stop_token:
            ids = ids[:-1]
        if not ids:
            return {"role": "assistant", "content": ""}
        answer = await self._object("/chat/completions/derender", _to_read(ids, generation.prompt_tail, asked))
        return _message(_only_choice(answer)["message"])

    def asked(self, request: Json) -> Json:
        """The request with our arguments of the chat template, and what vLLM's chat route adds to them by itself."""
        effort = request.get("reasoning_effort")
        implied = {} if effort is None else {"reasoning_effort": effort, "enable_thinking": effort != "none"}
        kwargs = {**implied, **self._template_kwargs, **(request.get("chat_template_kwargs") or {})}
        return {**request, "chat_template_kwargs": kwargs} if kwargs else request

    async def _generated(
        self, rendered: Json, prompt_ids: list[int], asked: Json, max_tokens: int, rollout_key: str
    ) -> VLLMGeneration:
        sampling = {**rendered["sampling_params"], "max_tokens": max_tokens, "logprobs": wanted_logprobs(asked)}
        if asked.get("seed") is not None:
            sampling["seed"] = asked["seed"]
        as_text = bool(asked.get("stop") or asked.get("logprobs"))
        params = {
            # Without `reasoning_ended`, which is about the rendered prompt, vLLM finds it out from this one.
            **{key: rendered[key] for key in _RENDERED_TOO if rendered.get(key)},
            "token_ids": prompt_ids,
            "sampling_params": sampling,
            "output_mode": "text" if as_text else "tokens",
        }
        answer = await self._object("/inference/v1/generate", params, rollout_key, at_root=True)
        choice = _only_choice(answer)
        logprobs = choice.get("logprobs") or {}
        return VLLMGeneration(
            **_sampled(choice, [entry["logprob"] for entry in logprobs.get("content") or ()]),
            policy_version=_oldest_version(choice),
            logprobs=logprobs if asked.get("logprobs") else None,
            text=choice.get("text"),
            prompt_tail=prompt_ids[-_PROMPT_TAIL:],
        )

    async def _rendered(self, asked: Json) -> Json | None:
        """vLLM's request to generate for the parameters of a chat request; None where it has no such routes."""
        if self._scale_out is False:
            return None
        settings = {key: value for key, value in asked.items() if key not in _PER_CALL and value is not None}
        key = orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)
        known = self._parameters.get(key)
        if known is not None:
            self._parameters.move_to_end(key)
            return known
        answer = await self._post("/chat/completions/render", {**settings, "messages": _ANYTHING}, self._turn())
        if answer.status in _NOT_THERE and not self._scale_out:
            self._scale_out = False
            log.warning(_NO_SCALE_OUT, answer.status)
            return None
        rendered = self._parsed(answer)
        self._scale_out = True
        self._parameters[key] = {name: value for name, value in rendered.items() if name != "token_ids"}
        if len(self._parameters) > _KEPT_PARAMETERS:
            self._parameters.popitem(last=False)
        return rendered

    async def _look_at_log_probs(self, temperature: float, token: int) -> None:
        """Warn where they leave the temperature out: the only token that is allowed is certain only after it."""
        self._log_probs_are_raw = False
        only = {"prompt": [token], "allowed_token_ids": [token], "max_tokens": 1, "temperature": 1.0, "logprobs": 0}
        [log_prob] = sampled_log_probs(_only_choice(await self._object("/completions", only)).get("logprobs"))
        self._log_probs_are_raw = abs(log_prob) > _CERTAIN
        if self._log_probs_are_raw:
            log.warning(_RAW_LOG_PROBS, temperature)

    async def _tokenize(self, params: Json) -> list[int]:
        answer = await self._object("/tokenize", params, at_root=True)
        self._context_length = answer.get("max_model_len")
        ids: list[int] = answer["tokens"]
        return ids

    async def _object(self, path: str, params: Json, rollout_key: str | None = None, *, at_root: bool = False) -> Json:
        key = self._turn() if rollout_key is None else rollout_key
        return self._parsed(await self._post(path, params, key, at_root=at_root))

    def _parsed(self, answer: HttpResponse) -> Json:
        if answer.ok:
            return as_object(answer)
        raise engine_refusal(answer, self._secret)

    def _turn(self) -> str:
        """A key for what any replica may do: they take turns."""
        return f"any {next(self._turns)}"


def _bare(message: Json) -> Json:
    """The message without token fields, which no template looks at. Refuses one that is not only text."""
    content = message.get("content")
    for part in content if isinstance(content, list) else ():
        if part.get("type") not in ("text", "input_text", "output_text", "refusal"):
            raise not_by_ids(
                f"a message holds `{part.get('type')}`: prompts of ids are text only; set `token_mode: pass_through`"
            )
    return {key: value for key, value in message.items() if key not in TOKEN_KEYS}


def _sampled(choice: Json, log_probs: list[float]) -> Json:
    """The fields of a generation that both routes give. Raises `ConversionError` where ids and log-probs do not fit."""
    ids = choice["token_ids"] if choice.get("token_ids") is not None else ids_in_logprobs(choice.get("logprobs"))
    if len(ids) != len(log_probs):
        raise ConversionError(f"{len(ids)} generated token ids came with {len(log_probs)} log-probs")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in log_probs):
        raise ConversionError("a log-prob is no finite number")
    finish_reason = choice.get("finish_reason") or "stop"
    return {
        "ids": ids,
        "log_probs": log_probs,
        "finish_reason": finish_reason,
        "stop_reason": choice.get("stop_reason"),
        "routed_experts": choice.get("routed_experts"),
    }


def _oldest_version(choice: Json) -> int | str | None:
    """Version of the weights that sampled the first id: a generation is never newer than it says."""
    spans = choice.get("weight_versions")
    version = spans[0]["version"] if spans else "default"
    if version == "default":  # nobody told vLLM
        return None
    return int(version) if version.isdecimal() else str(version)


def _only_choice(answer: Json) -> Json:
    choices = answer.get("choices")
    if not choices:
        raise ConversionError("the answer holds no choice: `choices` is empty")
    choice: Json = choices[0]
    return choice


def _to_read(ids: list[int], prompt_tail: list[int], asked: Json) -> Json:
    shaping = ("tools", "tool_choice", "parallel_tool_calls", "chat_template_kwargs", "reasoning_effort")
    chat = {key: asked[key] for key in shaping if asked.get(key)}
    choice = {"index": 0, "token_ids": ids, "finish_reason": "stop"}
    return {
        "generate_response": {"request_id": "read", "choices": [choice], "prompt_token_ids": prompt_tail},
        "chat_request": {**chat, "messages": _ANYTHING},
    }


def _message(read: Json) -> Json:
    """vLLM's message under the names of this API; leading `<think>` that no parser of vLLM's took is reasoning too."""
    message: Json = {"role": "assistant", "content": read.get("content")}
    reasoning = read.get("reasoning") or read.get("reasoning_content")
    if reasoning:
        message["reasoning_content"] = reasoning
    elif message["content"]:
        message = read_chat_markup(message["content"], tools_declared=False)
    calls = read.get("tool_calls")
    if calls:
        message |= {"content": message["content"] or None, "tool_calls": calls}
    elif message["content"] is None and not reasoning:
        message["content"] = ""
    return message
