"""Secrets are masked wherever they stand; what only sounds like one is left alone."""

from __future__ import annotations

import pytest

from nemo_gym.config.secrets import is_secret_key, mask_secrets


@pytest.mark.parametrize(
    "key",
    [
        "api_key", "policy_api_key", "OPENAI_API_KEY", "apiKey", "x-api-key", "api_keys", "api_key_2", "token",
        "hf_token", "access_token", "secret", "session_secret", "client_secret", "AWS_SECRET_ACCESS_KEY",
        "aws_access_key_id", "password", "db_password", "private_key", "signing_key", "credentials", "Authorization",
    ],
)  # fmt: skip
def test_a_key_that_holds_a_secret_is_known(key):
    assert is_secret_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "max_output_tokens", "prompt_token_ids", "generation_token_ids", "eos_token", "pad_token", "token_count", "key",
        "key_metrics", "sort_key", "tokens", "tokenizer", "max_tokens", "num_tokens", "author", "secretary", "", "42",
        "api_key_env", "password_length",
    ],
)  # fmt: skip
def test_a_key_that_only_sounds_like_a_secret_is_left_alone(key):
    assert not is_secret_key(key)


def test_masking_reaches_every_depth_and_changes_nothing_else():
    values = {
        "policy_api_key": "sk-1234567890",
        "port": 8000,
        "model": {"headers": [{"Authorization": "Bearer abc"}], "max_output_tokens": 5, "api_keys": ["one", "two"]},
        "password": 1234,
    }
    masked = mask_secrets(values)
    assert masked == {
        "policy_api_key": "***",
        "port": 8000,
        "model": {"headers": [{"Authorization": "***"}], "max_output_tokens": 5, "api_keys": ["***", "***"]},
        "password": "***",
    }
    assert values["policy_api_key"] == "sk-1234567890"


def test_a_secret_repeated_under_another_key_is_masked_there_too():
    masked = mask_secrets({"policy_api_key": "sk-1234567890", "header": "Bearer sk-1234567890"})
    assert masked["header"] == "Bearer ***"


def test_a_short_placeholder_does_not_blot_out_other_texts():
    assert mask_secrets({"api_key": "EMPTY", "note": "EMPTY box"})["note"] == "EMPTY box"


def test_a_password_in_a_url_is_masked():
    assert mask_secrets({"proxy": "http://me:pass@host:80/x"})["proxy"] == "http://***@host:80/x"


def test_what_is_not_set_stays_visible():
    assert mask_secrets({"api_key": None, "token": "", "secret": "???"}) == {
        "api_key": None,
        "token": "",
        "secret": "???",
    }
