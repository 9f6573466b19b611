"""openai_model in front of fake endpoints, all on real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from nemo_gym.upstream.fake_endpoint import Stage
from responses_api_models.openai_model.app import OpenAIModel


class OpenAIStage(Stage):
    async def openai_model(self, urls: str | list[str], **settings: Any) -> str:
        """URL of an `openai_model` in front of those endpoints."""
        given = {"openai_base_url": urls, "openai_api_key": "sk-secret", "openai_model": "real", **settings}
        return await self.model(OpenAIModel, **given)


@pytest.fixture
async def stage() -> AsyncIterator[OpenAIStage]:
    async with OpenAIStage() as stage:
        yield stage
