"""scripted_model: a model server without a model. Plays reference policies, recorded answers, or a Python function."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from pathlib import Path
from typing import Any, ClassVar, Self

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from starlette.requests import Request
from starlette.responses import Response as HttpAnswer

from nemo_gym.base_responses_api_model import BaseResponsesAPIModelConfig, SimpleResponsesAPIModel, rollout_id_of
from nemo_gym.converters import to_chat_completion, to_responses_request
from nemo_gym.errors import ConversionError, ReferencePolicyError
from nemo_gym.reference_policies import Item, reasoning
from nemo_gym.schemas.chat_completions import ChatCompletion, ChatCompletionCreateParams
from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.serving.middleware import error_response
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.sessions import SESSION_ID_KEY
from nemo_gym.serving.spec import ServerSpec
from responses_api_models.scripted_model.faults import SCOPE_KEY, FaultMiddleware, Faults
from responses_api_models.scripted_model.players import Players, environment_folder, make_players
from responses_api_models.scripted_model.toy_tokens import (
    SMALLEST_VOCABULARY,
    generation_ids,
    log_probs_of,
    prompt_ids,
    reasoning_ids,
)

ECHOED = ("instructions", "metadata", "parallel_tool_calls", "tool_choice", "tools", "temperature", "top_p")
"""Settings of a request that its answer repeats."""


class Latency(BaseModel):
    """Seconds that an answer takes: normally distributed, never below 0."""

    model_config = ConfigDict(extra="forbid")

    mean: float = Field(ge=0)
    std: float = Field(default=0.0, ge=0)


class ToyTokens(BaseModel):
    """Whether and how answers carry token ids and log-probabilities."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = False
    vocab_size: int = Field(default=512, ge=SMALLEST_VOCABULARY)
    seed: int = 0
    """Chooses the toy distribution."""


class ScriptedModelConfig(BaseResponsesAPIModelConfig):
    policy: str | dict[str, float] = "oracle"
    """A policy of the environment, `recorded`, `package.module:function` or `file.py:function`; or weights by such
    names, from which each rollout draws one."""
    environment: str | list[str] | None = None
    """Folders in `resources_servers` whose policies.py and `data/*.jsonl` are played; None: those of this run."""
    policies_fpath: str | None = None
    """A policies.py to use instead of the environment's."""
    rows_fpaths: list[str] = Field(default_factory=list)
    """More task rows, by which requests are known."""
    recordings_fpath: str | None = None
    """Rollouts (`responses_create_params` and `response`) that the policy `recorded` plays."""
    seed: int = 0
    latency_s: float | Latency = 0.0
    context_length: int | None = Field(default=None, ge=1)
    """Longest prompt, in toy tokens; a longer one is refused as an engine refuses it. None: any length."""
    faults: Faults = Field(default_factory=Faults)
    tokens: ToyTokens = Field(default_factory=ToyTokens)

    @model_validator(mode="after")
    def _latency_is_no_debt(self) -> Self:
        if isinstance(self.latency_s, float) and self.latency_s < 0:
            raise ValueError(f"latency_s is {self.latency_s:g}: it must be 0 or more")
        return self


class ScriptedModel(SimpleResponsesAPIModel):
    config: ScriptedModelConfig

    continues_final_message: ClassVar[bool] = True

    _players: Players | None = PrivateAttr(default=None)
    _working_dir: Path = PrivateAttr(default_factory=Path.cwd)
    _latency_rng: random.Random = PrivateAttr(default_factory=random.Random)

    @classmethod
    def from_spec(cls, spec: ServerSpec, client: ServerClient | None = None) -> Self:
        server = super().from_spec(spec, client)
        server._working_dir = Path(spec.working_dir).resolve()
        return server

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        self._latency_rng.seed(f"{self.config.seed}/latency")
        self._players = self._load_players()
        if any(self.config.faults.rates.values()):
            app.middleware_stack = FaultMiddleware(app.build_middleware_stack(), self.config.faults, self.config.seed)
        return app

    async def responses(self, request: Request, body: ResponseCreateParams) -> Response | HttpAnswer:
        if body.stream:
            return error_response(
                400, "invalid_request", "`stream`: this model server answers in one piece; leave it out"
            )
        params = body.model_dump(mode="json", exclude_none=True)
        prompt = prompt_ids(params)
        if self.config.context_length is not None and len(prompt) > self.config.context_length:
            return context_overflow(len(prompt), self.config.context_length)
        await asyncio.sleep(self._draw_latency_s())
        try:
            output = self._output(request, params)
        except ReferencePolicyError as error:
            return error_response(400, "no_answer", str(error), code="no_answer")
        generated = generation_ids(output)
        if self.config.tokens.enabled and output:
            tokens = self.config.tokens
            log_probs = log_probs_of(prompt, generated, vocab_size=tokens.vocab_size, seed=tokens.seed)
            output[-1] |= {
                "prompt_token_ids": prompt,
                "generation_token_ids": generated,
                "generation_log_probs": log_probs,
            }
        usage = {
            "input_tokens": len(prompt),
            "output_tokens": len(generated),
            "total_tokens": len(prompt) + len(generated),
            "output_tokens_details": {"reasoning_tokens": len(reasoning_ids(output))},
        }
        answer = {"id": f"resp_{secrets.token_hex(12)}", "created_at": time.time(), "output": output, "usage": usage}
        echoed = {key: params[key] for key in ECHOED if key in params}
        return Response.model_validate(
            {**echoed, **answer, "model": body.model or self.config.name or "scripted_model"}
        )

    async def chat_completions(self, request: Request, body: ChatCompletionCreateParams) -> ChatCompletion | HttpAnswer:
        try:
            answer = await self.responses(request, to_responses_request(body))
        except ConversionError as error:
            return error_response(400, "invalid_request", str(error))
        return to_chat_completion(answer) if isinstance(answer, Response) else answer

    def _output(self, request: Request, params: dict[str, Any]) -> list[Item]:
        """Output items of this model call. Raises `ReferencePolicyError` where there is no answer."""
        match request.scope.get(SCOPE_KEY):
            case "empty":
                return []
            case "reasoning_only":
                return [reasoning("This answer was asked to hold nothing but reasoning: `faults.reasoning_only`.")]
        if self._players is None:
            self._players = self._load_players()
        rollout_key = rollout_id_of(request) or str(request.session[SESSION_ID_KEY])
        return self._players.respond(params, rollout_key)

    def _load_players(self) -> Players:
        config = self.config
        environments = [config.environment] if isinstance(config.environment, str) else config.environment
        return make_players(
            policy=config.policy,
            environments=self._environments_of_run() if environments is None else environments,
            policies_fpath=config.policies_fpath,
            rows_fpaths=config.rows_fpaths,
            recordings_fpath=config.recordings_fpath,
            working_dir=self._working_dir,
            seed=config.seed,
        )

    def _environments_of_run(self) -> list[str]:
        """Implementations of this run's resources servers that ship policies, each once."""
        servers = self.server_client.directory.values()
        names = dict.fromkeys(one.implementation for one in servers if one.server_type == "resources_servers")
        return [name for name in names if (environment_folder(name, self._working_dir) / "policies.py").is_file()]

    def _draw_latency_s(self) -> float:
        latency = self.config.latency_s
        if isinstance(latency, Latency):
            return max(0.0, self._latency_rng.gauss(latency.mean, latency.std))
        return latency


def context_overflow(prompt_tokens: int, context_length: int) -> HttpAnswer:
    """The refusal of a prompt that is too long, in the words by which clients know it."""
    message = f"This model's maximum context length is {context_length} tokens; the prompt has {prompt_tokens}."
    return error_response(400, "invalid_request_error", message, code="context_length_exceeded")


if __name__ == "__main__":
    ScriptedModel.run_webserver()
