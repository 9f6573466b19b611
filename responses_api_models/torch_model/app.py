"""torch_model: a model server that runs a small model itself, on CPU, and takes new weights while it serves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from fastapi import FastAPI
from pydantic import Field, PrivateAttr
from starlette.requests import Request
from starlette.responses import Response as HttpAnswer

from nemo_gym.errors import LaunchError, WeightUpdateError
from nemo_gym.ledger.engine import TokenEngine
from nemo_gym.ledger.token_model import TokenModel, TokenModelConfig
from nemo_gym.serving.error_answers import error_response
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.spec import ServerSpec

if TYPE_CHECKING:
    from responses_api_models.torch_model.engine import TorchEngine

SWITCH_INTERVAL_S = 0.0005
"""How long one thread of this process may keep the others waiting for the interpreter. Python's own 5 ms would let the
sampling thread, which asks for it at every operation, stand still while requests are read."""


class TorchModelConfig(TokenModelConfig):
    model_path: str
    """A Hugging Face folder: config, safetensors, tokenizer, chat template. From where the run was started."""
    device: Literal["cpu", "cuda"] = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Log-probs equal a plain forward pass to 1e-5 in float32 only."""
    num_threads: int = Field(default=1, ge=1)
    """Of torch. For small models one is fastest."""
    context_length: int | None = Field(default=None, ge=2)
    """Longest prompt and answer together, in tokens; None: as many as the model has positions."""
    max_batch_size: int = Field(default=64, ge=1)
    """Requests that are sampled side by side; further ones wait."""
    max_prefill_tokens: int = Field(default=8192, ge=1)
    """Prompt tokens that are computed at a time."""
    prefix_cache_mib: int = Field(default=512, ge=0)
    """Memory for what was computed of earlier prompts, per version of the weights; 0: none is kept."""
    policy_version: int | str = 0
    """Of the weights in `model_path`."""
    max_body_bytes: int = Field(default=1 << 36, gt=0)
    """New weights are a body, too."""
    num_workers: int = Field(default=1, ge=1, le=1)
    """One, as weights are sent to one process."""


class TorchModel(TokenModel):
    config: TorchModelConfig

    _working_dir: Path = PrivateAttr(default_factory=Path.cwd)
    _engine: TorchEngine | None = PrivateAttr(default=None)

    @classmethod
    def from_spec(cls, spec: ServerSpec, client: ServerClient | None = None) -> Self:
        server = super().from_spec(spec, client)
        server._working_dir = Path(spec.working_dir).resolve()
        return server

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/update_weights", response_model=None)(self._update_weights)
        app.get("/policy_version")(self._policy_version)
        return app

    def engine(self) -> TokenEngine:
        """Load the model. Raises `LaunchError` where it cannot be served."""
        try:
            # Imported here: whoever reads this server's configuration needs no torch.
            from responses_api_models.torch_model.batch import Limits
            from responses_api_models.torch_model.checkpoint import Checkpoint
            from responses_api_models.torch_model.engine import TorchEngine
        except ModuleNotFoundError as error:
            raise LaunchError(
                f"torch_model needs the extra `torch`, and {error.name} is not installed: pip install 'nemo-gym[torch]'"
            ) from error
        config = self.config
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        folder = str(self._working_dir / config.model_path)
        self._engine = TorchEngine(
            Checkpoint.load(folder, device=config.device, dtype=config.dtype),
            Limits(config.max_batch_size, config.max_prefill_tokens),
            policy_version=config.policy_version,
            context_length=config.context_length,
            prefix_cache_bytes=config.prefix_cache_mib << 20,
            num_threads=config.num_threads,
        )
        return self._engine

    async def shutdown(self) -> None:
        if self._engine is not None:
            await self._engine.close()
        await super().shutdown()

    async def _update_weights(self, request: Request, policy_version: str, path: str | None = None) -> HttpAnswer:
        """`POST /update_weights?policy_version=n`: a safetensors file as the body, or `&path=` a folder of such files.

        When it answers 200, every request from then on begins on these weights. 422: they do not fit, nothing changed.
        """
        assert self._engine is not None, "setup_webserver() was called"
        source = self._working_dir / path if path is not None else await request.body()
        version = int(policy_version) if policy_version.isdecimal() else policy_version
        try:
            await self._engine.update_weights(source, version)
        except WeightUpdateError as error:
            return error_response(422, "weights_refused", str(error))
        return HttpAnswer(status_code=204)

    async def _policy_version(self) -> dict[str, int | str]:
        """`GET /policy_version`: the weights that requests begin on now."""
        assert self._engine is not None, "setup_webserver() was called"
        return {"policy_version": self._engine.policy_version}


if __name__ == "__main__":
    TorchModel.run_webserver()
