"""The whole configuration of a run, for code that asks for it by function where it was not handed over as a value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nemo_gym.config.instance import SERVER_TYPES, GymConfig
from nemo_gym.config.nearest import suggestion
from nemo_gym.errors import ConfigError, ConfigProblem

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from nemo_gym.config.initial import GlobalConfigDictParserConfig

HEAD_SERVER_KEY_NAME = "head_server"
"""Top-level key under which the head server's address stands."""

_of_this_process: Mapping[str, Any] | None = None


def set_global_config(values: Mapping[str, Any] | None) -> None:
    """What `get_global_config_dict()` answers from now on in this process. Called by whoever serves or starts a run."""
    global _of_this_process
    _of_this_process = values


def known_global_config() -> Mapping[str, Any] | None:
    """What `set_global_config` was told last."""
    return _of_this_process


def get_global_config_dict(
    global_config_dict_parser_config: GlobalConfigDictParserConfig | None = None,
) -> DictConfig:
    """The merged configuration of the run that this process belongs to, addresses and secrets included.

    In a server, and where a program has started servers, it is that of the run. Elsewhere it is read as the argument
    says, without one from the command line, and remembered. Raises `ConfigError` with every mistake found.
    """
    # Imported here: a server that does not ask for the configuration never needs it.
    from omegaconf import OmegaConf

    if global_config_dict_parser_config is not None or _of_this_process is None:
        from nemo_gym.config.initial import GlobalConfigDictParserConfig

        parser = global_config_dict_parser_config or GlobalConfigDictParserConfig()
        set_global_config(parser.load(Path.cwd()).values)
    return OmegaConf.create(dict(_of_this_process or {}))


def with_addresses(config: GymConfig, urls: Mapping[str, str], head_url: str, token: str) -> dict[str, Any]:
    """All values of a configuration, with `host` and `port` of every instance and of the head server as in `urls`.

    Beside the head server's stands the run's `token`.
    """
    filled = {**config.values, HEAD_SERVER_KEY_NAME: {**_host_and_port(head_url), "token": token}}
    for instance in config.instances.values():
        settings = {**instance.settings, **_host_and_port(urls[instance.name])}
        filled[instance.name] = {instance.server_type: {instance.implementation: settings}}
    return filled


def get_first_server_config_dict(global_config_dict: Mapping[str, Any], top_level_path: str) -> Any:
    """The settings of an instance: the block below its server type and its implementation.

    Raises `ConfigError` where there is no such instance.
    """
    names = [name for name in global_config_dict if instance_block(global_config_dict[name]) is not None]
    if top_level_path not in names:
        message = f"there is no such instance; {suggestion(top_level_path, names, kind='instances')}"
        raise ConfigError([ConfigProblem("configuration", top_level_path, message)])
    block = instance_block(global_config_dict[top_level_path])
    assert block is not None
    return block[2]


def instance_block(value: object) -> tuple[str, str, Any] | None:
    """Server type, implementation and settings of an instance's top-level value; None where it is no instance."""
    if not isinstance(value, Mapping):
        return None
    for server_type in SERVER_TYPES:
        implementations = value.get(server_type)
        if isinstance(implementations, Mapping) and implementations:
            implementation = next(iter(implementations))
            return server_type, str(implementation), implementations[implementation]
    return None


def _host_and_port(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {"host": parts.hostname, "port": parts.port}
