"""Loads policies: the `POLICIES` of a file, or one function by its place."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from nemo_gym.config.named_code import import_file, named_code
from nemo_gym.errors import ReferencePolicyError
from nemo_gym.reference_policies.turn import Policy


def load_policies(path: Path) -> dict[str, Policy]:
    """The `POLICIES` of a `policies.py`. Raises `ReferencePolicyError` where it cannot be imported or has none."""
    try:
        policies = vars(import_file(path)).get("POLICIES")
    except ValueError as error:
        raise ReferencePolicyError(str(error)) from error
    if not isinstance(policies, dict) or not policies or not all(callable(policy) for policy in policies.values()):
        raise ReferencePolicyError(f'{path}: must end with `POLICIES = {{"oracle": oracle, ...}}`, functions by name')
    return policies


def load_policy(place: str) -> Policy:
    """The function at `package.module:function` or `path/to/file.py:function`."""
    try:
        return cast(Policy, named_code(place))
    except ValueError as error:
        raise ReferencePolicyError(str(error)) from error
