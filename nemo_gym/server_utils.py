"""Door: servers, clients and answers under the names that servers and agents written for NeMo Gym import."""

from nemo_gym.config.global_config import HEAD_SERVER_KEY_NAME, get_first_server_config_dict, get_global_config_dict
from nemo_gym.config_types import BaseServerConfig
from nemo_gym.serving.app import SimpleServer, is_nemo_gym_fastapi_worker
from nemo_gym.serving.calls import get_response_json, raise_for_status, request
from nemo_gym.serving.server_client import ServerClient, get_server_url
from nemo_gym.serving.sessions import SESSION_ID_KEY

__all__ = [
    "HEAD_SERVER_KEY_NAME",
    "SESSION_ID_KEY",
    "BaseServerConfig",
    "ServerClient",
    "SimpleServer",
    "get_first_server_config_dict",
    "get_global_config_dict",
    "get_response_json",
    "get_server_url",
    "is_nemo_gym_fastapi_worker",
    "raise_for_status",
    "request",
]
