"""Door: reserved keys and the run's configuration, under the names that servers and trainers for NeMo Gym import."""

from typing import TYPE_CHECKING

from nemo_gym.config.global_config import HEAD_SERVER_KEY_NAME, get_first_server_config_dict, get_global_config_dict
from nemo_gym.launch.ports import find_open_port
from nemo_gym.schemas.rollout import AGENT_REF as AGENT_REF_KEY_NAME
from nemo_gym.schemas.rollout import ATTEMPT_INDEX as ATTEMPT_INDEX_KEY_NAME
from nemo_gym.schemas.rollout import ROLLOUT_INDEX as ROLLOUT_INDEX_KEY_NAME
from nemo_gym.schemas.rollout import TASK_INDEX as TASK_INDEX_KEY_NAME

if TYPE_CHECKING:
    from nemo_gym.config.initial import GlobalConfigDictParserConfig

__all__ = [
    "AGENT_REF_KEY_NAME",
    "ATTEMPT_INDEX_KEY_NAME",
    "HEAD_SERVER_KEY_NAME",
    "ROLLOUT_INDEX_KEY_NAME",
    "TASK_INDEX_KEY_NAME",
    "GlobalConfigDictParserConfig",
    "find_open_port",
    "get_first_server_config_dict",
    "get_global_config_dict",
]


def __getattr__(name: str) -> object:
    # Loaded when it is asked for: it brings OmegaConf, and servers take the other names from here.
    if name == "GlobalConfigDictParserConfig":
        from nemo_gym.config.initial import GlobalConfigDictParserConfig

        return GlobalConfigDictParserConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
