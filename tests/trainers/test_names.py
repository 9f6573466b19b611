"""What trainers import and read, beyond what `test_nemo_rl` does."""

from __future__ import annotations

import importlib
import inspect
import socket
from pathlib import Path

import pytest

from nemo_gym import cli, global_config
from nemo_gym.config_types import BaseServerConfig
from nemo_gym.global_config import GlobalConfigDictParserConfig, get_global_config_dict
from nemo_gym.rollout_collection import RolloutCollectionConfig, RolloutCollectionHelper
from tests.launch.toys import GOOD, write_toy

HOMES = {
    "RunHelper": ("cli",),
    "GlobalConfigDictParserConfig": ("cli", "global_config"),
    "find_open_port": ("global_config",),
    "get_global_config_dict": ("global_config",),
    "RolloutCollectionHelper": ("rollout_collection",),
    "RolloutCollectionConfig": ("rollout_collection",),
    "HEAD_SERVER_KEY_NAME": ("server_utils",),
    "BaseServerConfig": ("server_utils", "config_types"),
    "ServerClient": ("server_utils",),
}
"""Modules from which trainers import a name: those of today and older ones."""


@pytest.mark.parametrize("name", HOMES)
def test_a_name_is_the_same_thing_in_each_of_its_homes(name: str) -> None:
    first, *others = [getattr(importlib.import_module(f"nemo_gym.{home}"), name) for home in HOMES[name]]
    assert all(other is first for other in others)


def test_an_open_port_can_be_listened_on() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", global_config.find_open_port()))


def test_options_that_trainers_give_are_there() -> None:
    assert {"initial_global_config_dict", "skip_load_from_cli", "dotenv_path"} <= set(
        GlobalConfigDictParserConfig.model_fields
    )
    options = {"agent_name", "input_jsonl_fpath", "output_jsonl_fpath", "limit", "num_repeats"}
    options |= {"num_samples_in_parallel", "responses_create_params"}
    assert options <= set(RolloutCollectionConfig.model_fields)


def test_run_examples_is_no_coroutine_function_and_takes_what_trainers_pass() -> None:
    assert not inspect.iscoroutinefunction(RolloutCollectionHelper.run_examples)
    assert list(inspect.signature(RolloutCollectionHelper.run_examples).parameters)[:4] == [
        "self",
        "examples",
        "head_server_config",
        "semaphore",
    ]


@pytest.mark.e2e
def test_a_trainer_reads_the_runs_configuration_and_head_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_toy(tmp_path, "one", GOOD)
    values = {"one": {"resources_servers": {"one": {"entrypoint": "app.py"}}}, "policy_base_url": ["http://a/v1"]}
    helper = cli.RunHelper()
    helper.start(GlobalConfigDictParserConfig(initial_global_config_dict=values, skip_load_from_cli=True))
    try:
        config = get_global_config_dict()
        head = helper._server_client.head_server_config
        assert isinstance(head, BaseServerConfig)
        assert config.policy_base_url == ["http://a/v1"]
        assert (config.head_server.host, config.head_server.port) == (head.host, head.port)
        settings = config.one.resources_servers.one
        assert helper._server_client.url_of("one") == f"http://{settings.host}:{settings.port}"
    finally:
        helper.shutdown()
