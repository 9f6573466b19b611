"""Environments that talk back: one `Environment` per episode, served as /reset, /step and /verify."""

from nemo_gym.environments.class_server import ClassEnvironmentConfig, ClassEnvironmentServer
from nemo_gym.environments.env_response import MultiTurnEnv, Rubric, SingleTurnEnv
from nemo_gym.environments.environment import Environment, StepResult
from nemo_gym.environments.rewards import FinalReward, ProgressReward, TurnLevelReward
from nemo_gym.environments.server import EnvironmentConfig, EnvironmentServer
from nemo_gym.environments.step_reset import BaseEnvironment

__all__ = [
    "BaseEnvironment",
    "ClassEnvironmentConfig",
    "ClassEnvironmentServer",
    "Environment",
    "EnvironmentConfig",
    "EnvironmentServer",
    "FinalReward",
    "MultiTurnEnv",
    "ProgressReward",
    "Rubric",
    "SingleTurnEnv",
    "StepResult",
    "TurnLevelReward",
]
