"""Runs code of unknown origin: one `Sandbox`, several backends, limits on everything it can use up."""

from nemo_gym.sandbox.limits import CommandResult, SandboxLimits
from nemo_gym.sandbox.opening import BACKENDS, open_sandbox, require_backend
from nemo_gym.sandbox.sandbox import Sandbox

__all__ = ["BACKENDS", "CommandResult", "Sandbox", "SandboxLimits", "open_sandbox", "require_backend"]
