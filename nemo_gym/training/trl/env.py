"""The environment of a trainer: named, or started from a configuration; and the gyms that play it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_gym.errors import ConfigError, ConfigProblem
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
    """Whether the gym was started or attached to here, and is to be closed."""

    def close(self) -> None:
        """Let go of what was opened here, and end the servers that were started here."""
        if self.is_own:
            for gym in self.gyms:
                gym.close()


def open_env(env: Env | None, gym: RunningGym | Sequence[RunningGym] | None) -> OpenedEnv:
    """`env`: name of an agent or resources server; or a YAML file or mapping to start servers from.

    `gym`: where a named one runs; by default the run in this folder.
    Raises `ConfigError` or `LaunchError` where it cannot be started, or no such agent runs.
    """
    name = env if isinstance(env, str) and not _is_config(env) else None
    if env is None and gym is None:
        return OpenedEnv((), None, False)
    if gym is None:
        opened = RunningGym.attach() if name is not None else _started(env)
        try:
            return OpenedEnv((opened,), _agent_of(opened, name), True)
        except BaseException:
            opened.close()
            raise
    if env is not None and name is None:
        message = "is a configuration to start servers from, and `gym` runs already; give the name of its agent"
        raise ConfigError([ConfigProblem("GymGRPOTrainer", "env", message)])
    gyms = (gym,) if isinstance(gym, RunningGym) else tuple(gym)
    if not gyms:
        raise ConfigError([ConfigProblem("GymGRPOTrainer", "gym", "is empty; give a running gym, or leave it out")])
    return OpenedEnv(gyms, _agent_of(gyms[0], name), False)


def _started(env: Env | None) -> RunningGym:
    return RunningGym.start(env if isinstance(env, Mapping) else {"config_paths": [str(env)]})


def _agent_of(gym: RunningGym, name: str | None) -> str | None:
    return gym.agent_for(name) if name is not None or len(gym.agents) == 1 else None


def _is_config(env: str) -> bool:
    return env.endswith((".yaml", ".yml"))
