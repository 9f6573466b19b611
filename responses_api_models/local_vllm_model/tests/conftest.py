"""local_vllm_model with a stand-in for vLLM, as processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nemo_gym.upstream.fake_endpoint import Stage
from responses_api_models.local_vllm_model.app import LocalVLLMModel

FAKE = Path(__file__).with_name("fake")


class LocalStage(Stage):
    async def local(self, *, variables: dict[str, str] | None = None, **settings: Any) -> str:
        """URL of a `local_vllm_model` whose vLLM is the stand-in."""
        environment = {"PYTHONPATH": str(FAKE), **(variables or {})}
        return await self.model(LocalVLLMModel, **{"model": "tiny", "vllm_serve_env_vars": environment, **settings})


@pytest.fixture
async def stage() -> AsyncIterator[LocalStage]:
    async with LocalStage() as stage:
        yield stage
