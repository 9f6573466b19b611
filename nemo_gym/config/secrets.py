"""Secrets in a configuration: which keys hold them, and a copy of the values that shows none."""

from __future__ import annotations

import re
from collections.abc import Mapping

MASK = "***"

_MIN_RECOGNISABLE = 8
"""Shorter secrets (`EMPTY`, `test`) are masked where they stand but not searched for in other values."""

_SECRET_WORDS = frozenset(
    {"secret", "secrets", "password", "passwords", "passwd", "passphrase", "credential", "credentials"}
    | {"authorization", "apikey", "apikeys", "bearer"}
)
_KEY_WORDS = frozenset({"api", "access", "private", "secret", "signing", "encryption", "auth", "ssh", "master"})
"""Before `key` or `keys` these make a secret; `key_metrics` and `sort_key` are none."""
_TOKEN_WORDS = frozenset(
    {"access", "api", "auth", "bearer", "bot", "client", "csrf", "github", "gitlab", "head", "hf", "huggingface", "id"}
    | {"jwt", "oauth", "personal", "refresh", "run", "security", "service", "session", "slack", "user", "wandb"}
)
"""Before `token` these make a secret. Others are text that a tokenizer knows: `eos_token`, `pad_token`."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_URL_USER = re.compile(r"(?<=://)[^/\s@]+(?=@)")


def is_secret_key(key: str) -> bool:
    """Whether a value under this key is a secret: `policy_api_key`, `hf_token`, `AWS_SECRET_ACCESS_KEY`, `password`.

    Counts and texts that only sound alike are none: `max_output_tokens`, `prompt_token_ids`, `eos_token`.
    """
    words = [word.lower() for word in _WORD.findall(key)]
    while words and words[-1].isdigit():
        words.pop()
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _SECRET_WORDS:
        return True
    if last in {"key", "keys"}:
        return before in _KEY_WORDS
    if last == "id" and before == "key":
        return len(words) > 2 and words[-3] == "access"
    if last == "token":
        return not before or before in _TOKEN_WORDS
    return last == "tokens" and before in {"api", "auth", "access", "refresh", "bearer"}


def mask_secrets(values: Mapping[str, object]) -> dict[str, object]:
    """A copy of `values` without secrets: `***` stands for them.

    Masked are values under secret keys, user and password in URLs, and every other text that holds one of the secrets
    found (a header made by interpolation, say). `null`, empty texts and `???` stay as they are.
    """
    found: set[str] = set()
    masked = _mask(values, secret=False, found=found)
    long_first = sorted((secret for secret in found if len(secret) >= _MIN_RECOGNISABLE), key=len, reverse=True)
    result = _replace(masked, long_first)
    assert isinstance(result, dict)
    return result


def secrets_in(values: Mapping[str, object]) -> frozenset[str]:
    """The texts that `mask_secrets` looks for everywhere in `values`."""
    found: set[str] = set()
    _mask(values, secret=False, found=found)
    return frozenset(secret for secret in found if len(secret) >= _MIN_RECOGNISABLE)


def _mask(value: object, *, secret: bool, found: set[str]) -> object:
    if isinstance(value, Mapping):
        return {
            key: _mask(child, secret=secret or (isinstance(key, str) and is_secret_key(key)), found=found)
            for key, child in value.items()
        }
    if isinstance(value, list | tuple):
        return [_mask(child, secret=secret, found=found) for child in value]
    if isinstance(value, str):
        if secret and value not in {"", "???"}:
            found.add(value)
            return MASK
        return _URL_USER.sub(MASK, value)
    if secret and isinstance(value, int | float) and not isinstance(value, bool):
        return MASK
    return value


def _replace(value: object, secrets: list[str]) -> object:
    if isinstance(value, dict):
        return {key: _replace(child, secrets) for key, child in value.items()}
    if isinstance(value, list):
        return [_replace(child, secrets) for child in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
    return value
