"""Where trainers look for rollout collection: names of `nemo_gym.rollouts`."""

from nemo_gym.rollouts.collection_config import RolloutCollectionConfig
from nemo_gym.rollouts.collection_helper import RolloutCollectionHelper

__all__ = ["RolloutCollectionConfig", "RolloutCollectionHelper"]
