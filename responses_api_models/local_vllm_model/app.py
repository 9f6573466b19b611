"""local_vllm_model: a model server that starts vLLM itself, on this machine's GPUs, and ends it when it ends."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import time
from typing import Any, Self

from pydantic import Field, PrivateAttr, model_validator

from nemo_gym.errors import ConnectionLost, Unreachable
from nemo_gym.launch.guardian import RUN_VARIABLE
from nemo_gym.serving.http_response import HttpResponse
from nemo_gym.upstream.vllm import VLLMServer, VLLMServerConfig
from responses_api_models.local_vllm_model.command import RESERVED, gpus_of_replicas, knows_argument, serve_command
from responses_api_models.local_vllm_model.engine import Engine
from responses_api_models.local_vllm_model.fleet import Fleet

log = logging.getLogger(__name__)


class LocalVLLMModelConfig(VLLMServerConfig):
    model: str
    """A name at Hugging Face, or the absolute path of a folder."""
    api_key: str = Field(default_factory=lambda: secrets.token_hex(16), repr=False)
    """vLLM answers only who knows it; by default made at random."""
    uses_reasoning_parser: bool = False
    """By default whether `vllm_serve_kwargs` names a `reasoning_parser`."""
    resend_lost_requests: bool = True
    """vLLM works here for nobody else: what its death cost is asked for again."""
    num_workers: int = Field(default=1, ge=1, le=1)

    python: str = sys.executable
    """Interpreter of the environment in which vLLM is installed."""
    num_replicas: int = Field(default=1, ge=1)
    """vLLM processes that serve the model side by side. A rollout stays with one."""
    gpus: list[int] | None = None
    """GPUs to use, shared evenly by the replicas. None: those that are visible; with several replicas, from 0 on."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs over which one replica's weights are split."""
    vllm_serve_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of `vllm serve`, as `max_model_len: 32768`."""
    vllm_serve_env_vars: dict[str, str] = Field(default_factory=dict)
    """Environment variables of vLLM, beside this process's own."""
    vllm_start_timeout_s: float = Field(default=590.0, gt=0)
    """From its start until vLLM must answer. A longer one needs a longer `start_timeout_s` of the run."""
    max_restarts: int = Field(default=3, ge=0)
    """How often a replica that died is started again before this server gives up."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if "uses_reasoning_parser" not in self.model_fields_set:
            self.uses_reasoning_parser = bool(self.vllm_serve_kwargs.get("reasoning_parser"))
        for name in self.vllm_serve_kwargs:
            if name.replace("-", "_") in RESERVED:
                raise ValueError(f"`vllm_serve_kwargs.{name}` is set by this server; leave it out")
        if self.gpus is not None:
            share = len(gpus_of_replicas(self.gpus, self.num_replicas)[0])
            if share % self.tensor_parallel_size:
                raise ValueError(
                    f"{share} GPUs a replica do not go with `tensor_parallel_size: {self.tensor_parallel_size}`"
                )
        return self

    @property
    def serve_arguments(self) -> dict[str, Any]:
        """vLLM's arguments, with those that follow from the other keys."""
        arguments: dict[str, Any] = {}
        if self.tensor_parallel_size > 1:
            arguments["tensor_parallel_size"] = self.tensor_parallel_size
        if self.return_token_id_information:
            # Of the distribution that was sampled from, temperature and all; vLLM's default is that before.
            arguments["logprobs_mode"] = "processed_logprobs"
        return {**arguments, **self.vllm_serve_kwargs}

    def environment_of(self, replica: int) -> dict[str, str]:
        """All environment variables of one replica's process."""
        # A grammar of tool calls would choose among tokens, and no trainer knows from how many.
        for_training = {"VLLM_ENFORCE_STRICT_TOOL_CALLING": "0"} if self.return_token_id_information else {}
        environment = {**for_training, **os.environ, **self.vllm_serve_env_vars, "VLLM_API_KEY": self.api_key}
        # Or the launcher's guardian would kill the tether with the rest of a run before that has killed vLLM's engine,
        # which hides its environment from the guardian.
        environment.pop(RUN_VARIABLE, None)
        gpus = self.gpus
        if gpus is None and self.num_replicas > 1:
            gpus = list(range(self.num_replicas * self.tensor_parallel_size))
        if gpus is not None:
            mine = gpus_of_replicas(gpus, self.num_replicas)[replica]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, mine))
        return environment


class LocalVLLMModel(VLLMServer):
    config: LocalVLLMModelConfig

    _ports: list[socket.socket] = PrivateAttr(default_factory=list)
    _fleet: Fleet | None = PrivateAttr(default=None)

    def base_urls(self) -> list[str]:
        """Takes a port for each replica, and keeps it for the time between a replica's death and its restart."""
        self._ports = [_reserved_port() for _ in range(self.config.num_replicas)]
        return [f"{_url_at(port)}/v1" for port in self._ports]

    async def startup(self) -> None:
        """Start vLLM and wait until it answers. Raises `LaunchError` with its last lines where it does not."""
        assert self._upstream is not None, "setup_webserver() was called"
        config = self.config
        arguments = config.serve_arguments
        if config.sends_ids and await knows_argument(config.python, "enable_scale_out", config.environment_of(0)):
            # vLLM then reads answers by its own parsers, and takes its grammars for prompts of ids too.
            arguments = {"enable_scale_out": True, **arguments}
        engines = [
            Engine(
                f"vllm.{replica}" if config.num_replicas > 1 else "vllm",
                _url_at(port),
                serve_command(config.python, config.model, port.getsockname()[1], arguments),
                config.environment_of(replica),
            )
            for replica, port in enumerate(self._ports)
        ]
        self._fleet = Fleet(
            engines,
            self.server_client.http,
            self._upstream.replicas,
            start_timeout_s=config.vllm_start_timeout_s,
            max_restarts=config.max_restarts,
            on_failure=end_this_process,
        )
        await self._fleet.start()

    async def shutdown(self) -> None:
        if self._fleet is not None:
            await self._fleet.stop()
        for port in self._ports:
            port.close()
        await super().shutdown()

    async def post(self, path: str, params: dict[str, Any], rollout_key: str, *, at_root: bool = False) -> HttpResponse:
        """As for any vLLM; a request that was lost with the last replica waits for the restart."""
        assert self._fleet is not None, "startup() was called"
        deadline = time.monotonic() + self.config.timeout_s
        attempt = 0
        while True:
            attempt += 1
            await self._fleet.until_one_is_healthy(deadline - time.monotonic())
            try:
                return await super().post(path, params, rollout_key, at_root=at_root)
            except (Unreachable, ConnectionLost):
                if attempt >= self.config.max_attempts:
                    raise


def end_this_process(reason: str) -> None:
    """Without vLLM there is nothing to serve; whoever started this server decides what is next."""
    log.error("%s\nIt was started again too often; this server ends.", reason)
    os.kill(os.getpid(), signal.SIGTERM)


def _reserved_port() -> socket.socket:
    """Bound, but not listening: nobody else is given the port, and vLLM, which sets the same option, may take it."""
    port = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port.bind(("127.0.0.1", 0))
    return port


def _url_at(port: socket.socket) -> str:
    return f"http://127.0.0.1:{port.getsockname()[1]}"


if __name__ == "__main__":
    LocalVLLMModel.run_webserver()
