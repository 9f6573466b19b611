"""vllm_model in front of fake vLLMs, all on real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from nemo_gym.upstream.fake_endpoint import Stage
from nemo_gym.upstream.fake_vllm import FakeVLLM, Said
from responses_api_models.vllm_model.app import VLLMModel

Json = dict[str, Any]


class VLLMStage(Stage):
    async def vllm(self, said: Said | Callable[[Json], Said], **settings: Any) -> tuple[FakeVLLM, str]:
        """A fake vLLM, and the URL at which its API begins."""
        fake = FakeVLLM(said if callable(said) else lambda _: said, **settings)
        return fake, await self.serve(fake.app) + "/v1"

    async def vllm_model(self, urls: str | list[str], **settings: Any) -> str:
        """URL of a `vllm_model` in front of those."""
        return await self.model(VLLMModel, **{"base_url": urls, "api_key": "none", "model": "tiny", **settings})


@pytest.fixture
async def stage() -> AsyncIterator[VLLMStage]:
    async with VLLMStage() as stage:
        yield stage
