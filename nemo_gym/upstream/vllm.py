"""What model servers in front of vLLM share: `vllm_model` for one that runs, `local_vllm_model` for its own."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response as HttpAnswer

from nemo_gym.converters import ChatDialect
from nemo_gym.errors import ConversionError
from nemo_gym.schemas.chat_completions import ChatCompletion, ChatCompletionCreateParams
from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.serving.json_route import json_body
from nemo_gym.upstream.model_server import CHAT_COMPLETIONS, UpstreamModel, UpstreamModelConfig, as_object
from nemo_gym.upstream.refusals import error_message, unusable_answer
from nemo_gym.upstream.vllm_tokens import asking_for_tokens, needs_prompt_ids, tokenize_request, with_triplets

Json = dict[str, Any]

_TOKEN_FIELDS = frozenset({"prompt_token_ids", "generation_token_ids", "generation_log_probs", "routed_experts"})


class VLLMServerConfig(UpstreamModelConfig):
    model: str
    """The model's name at vLLM, whatever name a request gives."""
    api_key: str = Field(default="", repr=False)
    return_token_id_information: bool = False
    """Whether answers carry `prompt_token_ids`, `generation_token_ids` and `generation_log_probs`."""
    uses_reasoning_parser: bool = True
    """Whether vLLM runs with `--reasoning-parser`, and so tells reasoning apart from text. If not, reasoning is taken
    from the text, where it stands as leading `<think>...</think>`."""
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the chat template, added to every request; the request's own win."""
    replace_developer_role_with_system: bool = False
    """For chat templates that know no role `developer`."""

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
    """Both APIs, by vLLM's chat API: that is the one in which it gives token ids."""

    config: VLLMServerConfig

    continues_final_message: ClassVar[bool] = True

    async def responses(self, request: Request, body: ResponseCreateParams) -> Response | HttpAnswer:
        return await self.by_chat(request, body)

    async def chat_completions(self, request: Request, body: ChatCompletionCreateParams) -> ChatCompletion | HttpAnswer:
        given: Json = json_body(request)
        params = self.prepared(given)
        if body.stream or not self.config.return_token_id_information:
            return await self.pass_on(request, CHAT_COMPLETIONS, params)
        answer = await self.call(request, CHAT_COMPLETIONS, params)
        if not answer.ok:
            return self.refuse(answer)
        try:
            return ChatCompletion.model_validate(await self.completed(request, params, as_object(answer)))
        except (ValidationError, ConversionError) as error:
            return unusable_answer(error)

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
