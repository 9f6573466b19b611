"""A tiny policy to serve, made once."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def policy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of a tiny random Qwen3."""
    from responses_api_models.torch_model.tests.tiny_policy import write_policy

    return write_policy(tmp_path_factory.mktemp("policy"))
