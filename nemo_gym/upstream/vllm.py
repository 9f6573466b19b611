"""What model servers in front of vLLM share: `vllm_model` for one that runs, `local_vllm_model` for its own."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from fastapi import FastAPI
from pydantic import Field, PrivateAttr, model_validator
from starlette.requests import Request
from starlette.responses import Response as HttpAnswer

from nemo_gym.converters import ChatDialect
from nemo_gym.errors import ConversionError
from nemo_gym.ledger.call import Sampler
from nemo_gym.ledger.config import LedgerConfig
from nemo_gym.ledger.policy_version import serve_policy_version
from nemo_gym.ledger.prompts import IdsSampler
from nemo_gym.ledger.recorder import Recorder
from nemo_gym.ledger.routes import LedgerRoutes
from nemo_gym.schemas.chat_completions import ChatCompletion, ChatCompletionCreateParams
from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.serving.json_route import json_body
from nemo_gym.upstream.model_server import CHAT_COMPLETIONS, UpstreamModel, UpstreamModelConfig, as_object
from nemo_gym.upstream.refusals import error_message
from nemo_gym.upstream.vllm_engine import VLLMEngine
from nemo_gym.upstream.vllm_samplers import ChatSampler, IdsOrChat, TokenMode, WithExtraBody
from nemo_gym.upstream.vllm_tokens import asking_for_tokens, needs_prompt_ids, tokenize_request, with_triplets

Json = dict[str, Any]

_TOKEN_FIELDS = frozenset({"prompt_token_ids", "generation_token_ids", "generation_log_probs", "routed_experts"})


class VLLMServerConfig(UpstreamModelConfig, LedgerConfig):
    model: str
    """The model's name at vLLM, whatever name a request gives."""
    api_key: str = Field(default="", repr=False)
    return_token_id_information: bool = False
    """Whether answers carry `prompt_token_ids`, `generation_token_ids` and `generation_log_probs`."""
    token_mode: TokenMode = "auto"
    """With token information: `ids` builds prompts here, from what was sampled, and sends ids; `pass_through` sends
    messages, and the endpoint, a trainer's own, corrects by the tokens on them; `auto` does what the endpoint's first
    answer tells, by having the triplet on its message or not."""
    uses_reasoning_parser: bool = True
    """Whether vLLM runs with `--reasoning-parser`, and so tells reasoning apart from text. If not, reasoning is taken
    from the text, where it stands as leading `<think>...</think>`."""
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the chat template, added to every request; the request's own win."""
    replace_developer_role_with_system: bool = False
    """For chat templates that know no role `developer`."""

    @model_validator(mode="after")
    def _has_tokens(self) -> Self:
        if self.token_mode != "auto" and not self.return_token_id_information:
            raise ValueError(f"`token_mode: {self.token_mode}` needs `return_token_id_information: true`")
        return self

    @property
    def sends_ids(self) -> bool:
        """Whether prompts may be sent as ids."""
        return self.return_token_id_information and self.token_mode != "pass_through"

    @property
    def endpoint_key(self) -> str:
        return self.api_key

    @property
    def endpoint_model(self) -> str:
        return self.model

    @property
    def dialect(self) -> ChatDialect:
        return ChatDialect(
            reasoning_field="reasoning_content",  # vLLM takes it in every version, `reasoning` only in newer ones
            think_tags=not self.uses_reasoning_parser,
            developer_role="system" if self.replace_developer_role_with_system else "developer",
        )


class VLLMServer(UpstreamModel):
    """Both APIs. With token information every call is recorded, and prompts are built on what was sampled; without,
    vLLM's chat API answers.
    """

    config: VLLMServerConfig

    continues_final_message: ClassVar[bool] = True

    _routes: LedgerRoutes | None = PrivateAttr(default=None)
    """Where calls are recorded."""

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        config = self.config
        if config.return_token_id_information:
            recorder = Recorder(config.new_ledger(), WithExtraBody(self._sampler(), config.extra_body))
            self._routes = LedgerRoutes(recorder, model=config.model, gives_tokens=True, dialect=config.dialect)
            serve_policy_version(app, recorder)
        return app

    @property
    def remembers_conversations(self) -> bool:
        return self.config.return_token_id_information

    async def responses(self, request: Request, body: ResponseCreateParams) -> Response | HttpAnswer:
        if self._routes is None or self._streams_as_it_comes(body):
            return await self.by_chat(request, body)
        return await self._routes.responses(request, body)

    async def chat_completions(self, request: Request, body: ChatCompletionCreateParams) -> ChatCompletion | HttpAnswer:
        if self._routes is None or self._streams_as_it_comes(body):
            return await self.pass_on(request, CHAT_COMPLETIONS, self.prepared(json_body(request)))
        return await self._routes.chat_completions(request, body)

    def _sampler(self) -> Sampler:
        config = self.config
        template_kwargs = {**(config.extra_body.get("chat_template_kwargs") or {}), **config.chat_template_kwargs}
        engine = VLLMEngine(self.post, template_kwargs=template_kwargs, secret=config.api_key)
        by_ids, by_chat = IdsSampler(engine), ChatSampler(self.post, engine, secret=config.api_key)
        samplers: dict[TokenMode, Sampler] = {
            "ids": by_ids,
            "pass_through": by_chat,
            "auto": IdsOrChat(by_ids, by_chat),
        }
        return samplers[config.token_mode]

    def _streams_as_it_comes(self, body: ResponseCreateParams | ChatCompletionCreateParams) -> bool:
        """Whether the endpoint's own stream is handed on: nothing is to be recorded that it does not keep itself."""
        return bool(body.stream) and self.config.token_mode == "pass_through"

    def prepared(self, params: Json) -> Json:
        """With the template's arguments, and asking for tokens where they are wanted."""
        prepared = dict(params)
        template_kwargs = {**self.config.chat_template_kwargs, **(params.get("chat_template_kwargs") or {})}
        if template_kwargs:
            prepared["chat_template_kwargs"] = template_kwargs
        if self.config.return_token_id_information:
            return asking_for_tokens(prepared)
        prepared["messages"] = [
            {key: value for key, value in message.items() if key not in _TOKEN_FIELDS} for message in params["messages"]
        ]
        return prepared

    async def completed(self, request: Request, params: Json, completion: Json) -> Json:
        """With the token triplet on each message, where it is wanted."""
        if not self.config.return_token_id_information:
            return completion
        if needs_prompt_ids(completion):
            completion = {**completion, "prompt_token_ids": await self._prompt_ids(request, params)}
        return with_triplets(completion, keep_logprobs="return_tokens_as_token_ids" not in params)

    async def _prompt_ids(self, request: Request, params: Json) -> list[int] | None:
        answer = await self.call(request, "/tokenize", tokenize_request(params), at_root=True)
        if not answer.ok:
            raise ConversionError(f"/tokenize refused the prompt (HTTP {answer.status}): {error_message(answer)}")
        tokens: list[int] | None = as_object(answer).get("tokens")
        return tokens
