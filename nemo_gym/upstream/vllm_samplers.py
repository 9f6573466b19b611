"""How a recorded call is sampled at vLLM: by ids, by the chat route, or as the chat route's first answer tells.

vLLM's own chat route renders and tokenizes the whole conversation anew, so what it takes for the policy's earlier
answers need not be what the policy sampled. A trainer's route of the same name corrects that by the tokens on the
messages; it is known by the triplet that it puts on its answer's message itself.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Literal

from nemo_gym.ledger.call import Asked, Sampled, Sampler
from nemo_gym.ledger.engine import Generation
from nemo_gym.ledger.prompts import chat_request
from nemo_gym.schemas.prompt_ids import common_length
from nemo_gym.schemas.tokens import TOKEN_KEYS
from nemo_gym.upstream.model_server import CHAT_COMPLETIONS, as_object
from nemo_gym.upstream.refusals import engine_refusal
from nemo_gym.upstream.vllm_engine import Post, VLLMEngine
from nemo_gym.upstream.vllm_tokens import asking_for_tokens, has_triplet, needs_prompt_ids, with_triplets

log = logging.getLogger(__name__)

Json = dict[str, Any]

TokenMode = Literal["auto", "ids", "pass_through"]


class ChatSampler:
    """Samples by the chat route; the last answer goes there with its tokens on it."""

    def __init__(self, post: Post, engine: VLLMEngine, *, secret: str = "") -> None:
        """`engine` renders where a vLLM from before 0.10.2 does not tell the prompt."""
        self._post, self._engine, self._secret = post, engine, secret
        self.corrects: bool | None = None
        """Whether the endpoint puts the triplet on the message itself; None before the first answer."""

    async def sample(self, asked: Asked) -> Sampled:
        request = self._engine.asked(chat_request(asked))
        params = asking_for_tokens({**request, "messages": _with_last_tokens(asked, request["messages"])})
        answer = await self._post(CHAT_COMPLETIONS, params, asked.incoming.rollout_key)
        if not answer.ok:
            raise engine_refusal(answer, self._secret)
        completion = as_object(answer)
        self.corrects = has_triplet(completion)
        if needs_prompt_ids(completion):
            completion = {**completion, "prompt_token_ids": await self._engine.render(request)}
        [choice] = with_triplets(completion, keep_logprobs=bool(request.get("logprobs")))["choices"][:1]
        return _sampled(asked, choice)


class IdsOrChat:
    """Samples by ids or by the chat route, as the chat route's first answer tells.

    That answer counts, unless it follows an earlier call: then it is asked for again by ids, or it might be a fork.
    """

    def __init__(self, by_ids: Sampler, by_chat: ChatSampler) -> None:
        self._by_ids, self._by_chat = by_ids, by_chat
        self._chosen: Sampler | None = None

    async def sample(self, asked: Asked) -> Sampled:
        if self._chosen is not None:
            return await self._chosen.sample(asked)
        sampled = await self._by_chat.sample(asked)
        if self._chosen is None:
            self._chosen = self._by_chat if self._by_chat.corrects else self._by_ids
            mode = "pass_through" if self._by_chat.corrects else "ids"
            log.info("the endpoint's first answer tells: `token_mode: %s`", mode)
        if self._by_chat.corrects or asked.previous is None:
            return sampled
        return await self._chosen.sample(asked)


class WithExtraBody:
    """Adds parameters to each call before it is sampled; the call's own win."""

    def __init__(self, sampler: Sampler, extra_body: Json) -> None:
        self._sampler, self._extra_body = sampler, extra_body

    async def sample(self, asked: Asked) -> Sampled:
        incoming = asked.incoming
        request = {**self._extra_body, **incoming.request}
        return await self._sampler.sample(replace(asked, incoming=replace(incoming, request=request)))


def _with_last_tokens(asked: Asked, messages: list[Json]) -> list[Json]:
    """The messages, with the triplet on the answer that this call follows: the prefix that its prompt must have."""
    since = asked.since_previous
    if asked.previous is None or since is None or asked.incoming.continues_last:
        return messages
    answer = len(messages) - len(since) - 1
    tokens = asked.previous.token_fields(short=False)
    return [*messages[:answer], {**messages[answer], **tokens}, *messages[answer + 1 :]]


def _sampled(asked: Asked, choice: Json) -> Sampled:
    message: Json = choice["message"]
    prompt: list[int] = message["prompt_token_ids"]
    kept = common_length(asked.previous.ids.since(0), prompt) if asked.previous is not None else 0
    version = message.get("policy_version")
    reason = choice.get("finish_reason") or "stop"
    generation = Generation(
        ids=message["generation_token_ids"],
        log_probs=message["generation_log_probs"],
        finish_reason=reason,
        policy_version=version,
        logprobs=choice.get("logprobs"),
        routed_experts=message.get("routed_experts"),
    )
    said = {key: value for key, value in message.items() if key not in TOKEN_KEYS and value is not None}
    if "reasoning" in said:
        said["reasoning_content"] = said.pop("reasoning")
    return Sampled(kept, prompt[kept:], generation, [said], reason)
