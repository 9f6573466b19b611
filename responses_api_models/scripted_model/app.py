"""scripted_model: a model server without a model. Plays reference policies, recorded answers, or a Python function."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from starlette.requests import Request
from starlette.responses import Response as HttpAnswer

from nemo_gym.base_responses_api_model import SimpleResponsesAPIModel, rollout_id_of
from nemo_gym.converters import to_chat_completion, to_responses_request
from nemo_gym.errors import ConversionError, EngineRefusedError, ReferencePolicyError
from nemo_gym.ledger.call import Incoming
from nemo_gym.ledger.config import LedgerConfig
from nemo_gym.ledger.policy_version import serve_policy_version
from nemo_gym.ledger.prompts import IdsSampler
from nemo_gym.ledger.recorder import Recorder
from nemo_gym.ledger.routes import LedgerRoutes, retry_key
from nemo_gym.reference_policies import Item, reasoning
from nemo_gym.reference_policies.items import items_of
from nemo_gym.schemas.chat_completions import ChatCompletion, ChatCompletionCreateParams
from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.serving.error_answers import error_response
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.sessions import SESSION_ID_KEY
from nemo_gym.serving.spec import ServerSpec
from responses_api_models.scripted_model.adversarial_engine import AdversarialEngine, as_text
from responses_api_models.scripted_model.faults import SCOPE_KEY, FaultMiddleware, Faults
from responses_api_models.scripted_model.players import Players, environment_folder, make_players
from responses_api_models.scripted_model.toy_sampler import ToySampler
from responses_api_models.scripted_model.toy_tokens import SMALLEST_VOCABULARY, reasoning_ids

_FAULT = "_fault"
"""Key under which a request's fault reaches the author of its answer."""
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
    tokenizer: Literal["bytes", "adversarial"] = "bytes"
    """`adversarial`: a tokenizer and a chat template that break all token bookkeeping but an exact one."""
    vocab_size: int = Field(default=512, ge=SMALLEST_VOCABULARY)
    seed: int = 0
    """Chooses the toy distribution."""


class ScriptedModelConfig(LedgerConfig):
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
    _recorder: Recorder = PrivateAttr()
    _routes: LedgerRoutes | None = PrivateAttr(default=None)

    @property
    def remembers_conversations(self) -> bool:
        return True

    @classmethod
    def from_spec(cls, spec: ServerSpec, client: ServerClient | None = None) -> Self:
        server = super().from_spec(spec, client)
        server._working_dir = Path(spec.working_dir).resolve()
        return server

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        self._latency_rng.seed(f"{self.config.seed}/latency")
        self._players = self._load_players()
        config, tokens = self.config, self.config.tokens
        adversarial = tokens.enabled and tokens.tokenizer == "adversarial"
        sampler = IdsSampler(self._adversarial_engine()) if adversarial else self._toy_sampler()
        self._recorder = Recorder(config.new_ledger(), sampler)
        if adversarial:
            self._routes = LedgerRoutes(self._recorder, model=self._model_name, gives_tokens=True)
        serve_policy_version(app, self._recorder)
        if any(config.faults.rates.values()):
            app.middleware_stack = FaultMiddleware(app.build_middleware_stack(), config.faults, config.seed)
        return app

    async def responses(self, request: Request, body: ResponseCreateParams) -> Response | HttpAnswer:
        try:
            if self._routes is not None:
                return await self._routes.responses(request, body)
            return await self._played(request, body)
        except EngineRefusedError as refused:
            return HttpAnswer(refused.body, refused.status, refused.headers, media_type="application/json")
        except ReferencePolicyError as error:
            return error_response(400, "no_answer", str(error), code="no_answer")

    async def chat_completions(self, request: Request, body: ChatCompletionCreateParams) -> ChatCompletion | HttpAnswer:
        if self._routes is not None:
            return await self._routes.chat_completions(request, body)
        try:
            answer = await self.responses(request, to_responses_request(body))
        except ConversionError as error:
            return error_response(400, "invalid_request", str(error))
        return to_chat_completion(answer) if isinstance(answer, Response) else answer

    async def _played(self, request: Request, body: ResponseCreateParams) -> Response | HttpAnswer:
        """An answer in toy tokens, whose items are the policy's own."""
        if body.stream:
            return error_response(
                400, "invalid_request", "`stream`: this model server answers in one piece; leave it out"
            )
        params = body.model_dump(mode="json", exclude_none=True)
        previous = body.previous_response_id
        fault = {} if request.scope.get(SCOPE_KEY) is None else {_FAULT: request.scope[SCOPE_KEY]}
        incoming = Incoming(
            rollout_key=rollout_id_of(request) or str(request.session[SESSION_ID_KEY]),
            settings={name: params[name] for name in ("instructions", "tools") if name in params},
            entries=items_of(params["input"]),
            request={name: value for name, value in params.items() if name not in ("input", "instructions", "tools")}
            | fault,
            previous_id=None if previous is None else previous.removeprefix("resp_"),
            retry_key=await retry_key(request),
            continues_last=params.get("continue_final_message") is True,
        )
        call = await self._recorder.answer(incoming)
        output = list(call.answer)
        if self.config.tokens.enabled and output:
            output[-1] = {**output[-1], **call.token_fields(short=previous is not None)}
        generated = len(call.generation.ids)
        usage = {
            "input_tokens": call.prompt_length,
            "output_tokens": generated,
            "total_tokens": call.prompt_length + generated,
            "output_tokens_details": {"reasoning_tokens": len(reasoning_ids(output))},
        }
        answer = {"id": f"resp_{call.stem}", "created_at": call.created, "output": output, "usage": usage}
        echoed = {key: params[key] for key in ECHOED if key in params}
        return Response.model_validate({**echoed, **answer, "model": body.model or self._model_name})

    @property
    def _model_name(self) -> str:
        return self.config.name or "scripted_model"

    def _toy_sampler(self) -> ToySampler:
        tokens = self.config.tokens
        return ToySampler(
            self._output,
            self._draw_latency_s,
            context_length=self.config.context_length,
            vocab_size=tokens.vocab_size,
            seed=tokens.seed,
        )

    def _adversarial_engine(self) -> AdversarialEngine:
        def write(request: dict[str, Any], rollout_key: str) -> str:
            params = to_responses_request(ChatCompletionCreateParams.model_validate(request))
            return as_text(self._output(params.model_dump(mode="json", exclude_none=True), rollout_key))

        return AdversarialEngine(write, context_length=self.config.context_length, seed=self.config.tokens.seed)

    def _output(self, params: dict[str, Any], rollout_key: str) -> list[Item]:
        """Output items of a model call. Raises `ReferencePolicyError` where there is no answer."""
        match params.pop(_FAULT, None):
            case "empty":
                return []
            case "reasoning_only":
                return [reasoning("This answer was asked to hold nothing but reasoning: `faults.reasoning_only`.")]
        if self._players is None:
            self._players = self._load_players()
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


if __name__ == "__main__":
    ScriptedModel.run_webserver()
