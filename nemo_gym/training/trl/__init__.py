"""TRL: `GRPOTrainer` over agents and environments of a running gym. Needs the extra `trl`."""

from nemo_gym.training.trl.gym_rollouts import GymRollouts
from nemo_gym.training.trl.options import GymGRPOConfig, RolloutOptions
from nemo_gym.training.trl.prompts import dataset_of, task_row_of
from nemo_gym.training.trl.recipe import config_of
from nemo_gym.training.trl.rewards import gym_reward, verify_reward_func
from nemo_gym.training.trl.trainer import GymGRPOTrainer

__all__ = [
    "GymGRPOConfig",
    "GymGRPOTrainer",
    "GymRollouts",
    "RolloutOptions",
    "config_of",
    "dataset_of",
    "gym_reward",
    "task_row_of",
    "verify_reward_func",
]
