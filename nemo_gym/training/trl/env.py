"""The environment of a trainer: named, or started from a configuration; and the gyms that play it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_gym.training.rollouts import RunningGym

Env = str | Path | Mapping[str, Any]


@dataclass(frozen=True)
class OpenedEnv:
    """Made by `open_env`."""

    gyms: tuple[RunningGym, ...]
    """The first plays, the others are its replicas; none where the trainer has no environment."""
    agent: str | None
    """Plays the rows that name no agent; None where all have to."""
    is_own: bool
    """Whether the gym was started here, and is to be closed."""

    def close(self) -> None:
        """End the servers that were started here."""
        if self.is_own:
            for gym in self.gyms:
                gym.close()


def open_env(env: Env | None, gym: RunningGym | Sequence[RunningGym] | None) -> OpenedEnv:
    """`env`: name of an agent or resources server; or a YAML file or mapping to start servers from.

    `gym`: where a named one runs; by default the run in this folder.
    Raises `ConfigError` or `LaunchError` where it cannot be started, or no such agent runs.
    """
    gyms = [gym] if isinstance(gym, RunningGym) else [*(gym or ())]
    name = env if isinstance(env, str) and not _is_config(env) else None
    is_own = not gyms and env is not None and name is None
    if is_own:
        gyms = [RunningGym.start(env if isinstance(env, Mapping) else {"config_paths": [str(env)]})]
    elif name is not None and not gyms:
        gyms = [RunningGym.attach()]
    if not gyms:
        return OpenedEnv((), None, False)
    only_one = name is None and len(gyms[0].agents) == 1
    agent = gyms[0].agent_for(name) if name is not None or only_one else None
    return OpenedEnv(tuple(gyms), agent, is_own)


def _is_config(env: str) -> bool:
    return env.endswith((".yaml", ".yml"))
