"""DemoTask: what the demo has to know of an environment to train in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nemo_gym.prepare import TaskRow
from nemo_gym.reference_policies import Policy


@dataclass(frozen=True)
class Rows:
    """Task rows of one run. No held-out task is among those that are trained."""

    train: list[TaskRow]
    held_out: list[TaskRow]


@dataclass(frozen=True)
class DemoTask:
    """One environment of the demo."""

    name: str
    """Folder below `resources_servers/`, and instance name in its configuration."""
    config_path: str
    agent: str
    make_rows: Callable[[int], Rows]
    """From a seed."""
    demonstrate: Policy
    """A policy that is right only now and then: what the model has learned before reinforcement learning begins."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Set over the environment's block of the configuration."""
    max_output_tokens: int = 32
    """Of one turn."""
    num_layers: int = 2
    """Of the model."""
    learning_rate: float = 1e-3
    steps: int = 70
    """Optimizer steps of a usual run."""
