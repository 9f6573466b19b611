"""vllm_model: a model server in front of a vLLM that runs somewhere, or several that serve the same model."""

from __future__ import annotations

from pydantic import field_validator

from nemo_gym.upstream.model_server import as_urls
from nemo_gym.upstream.vllm import VLLMServer, VLLMServerConfig


class VLLMModelConfig(VLLMServerConfig):
    base_url: str | list[str]
    """Where vLLM's API begins, `/v1` included; a list for replicas of one model."""

    @field_validator("base_url")
    @classmethod
    def _are_urls(cls, value: str | list[str]) -> list[str]:
        return as_urls(value)


class VLLMModel(VLLMServer):
    config: VLLMModelConfig

    def base_urls(self) -> list[str]:
        return as_urls(self.config.base_url)


if __name__ == "__main__":
    VLLMModel.run_webserver()
