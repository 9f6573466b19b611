"""Loads policies: the `POLICIES` of a file, or one function by its place."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from nemo_gym.config.nearest import suggestion
from nemo_gym.errors import ReferencePolicyError
from nemo_gym.reference_policies.turn import Policy


def load_policies(path: Path) -> dict[str, Policy]:
    """The `POLICIES` of a `policies.py`. Raises `ReferencePolicyError` where it cannot be imported or has none."""
    policies = vars(_import_file(path)).get("POLICIES")
    if not isinstance(policies, dict) or not policies or not all(callable(policy) for policy in policies.values()):
        raise ReferencePolicyError(f'{path}: must end with `POLICIES = {{"oracle": oracle, ...}}`, functions by name')
    return policies


def load_policy(place: str) -> Policy:
    """The function at `package.module:function` or `path/to/file.py:function`."""
    module_name, _, name = place.rpartition(":")
    if not module_name:
        raise ReferencePolicyError(f"`{place}`: write `package.module:function` or `path/to/file.py:function`")
    if module_name.endswith(".py"):
        module = _import_file(Path(module_name))
    else:
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise ReferencePolicyError(f"`{place}`: cannot import `{module_name}`: {error}") from error
    functions = {key: value for key, value in vars(module).items() if callable(value)}
    if name not in functions:
        raise ReferencePolicyError(f"`{place}`: no function `{name}`: {suggestion(name, functions, kind='functions')}")
    policy: Policy = functions[name]
    return policy


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ReferencePolicyError(f"{path}: no such file")
    name = f"nemo_gym_policies_{hashlib.blake2b(str(path.resolve()).encode(), digest_size=8).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a .py file always has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is being executed
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ReferencePolicyError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    return module
