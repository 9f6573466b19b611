"""A configuration handed over by a program, as trainers do."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf
from pydantic import ValidationError

from nemo_gym.config.initial import GlobalConfigDictParserConfig
from nemo_gym.errors import ConfigError

VALUES = {
    "config_paths": ["maze.yaml", "model.yaml"],
    "policy_base_url": ["http://10.0.0.1:8000/v1", "http://10.0.0.2:8000/v1"],
    "policy_api_key": "sk-not-to-be-shown",
    "head_server": {"host": "0.0.0.0", "port": 12345},
    "default_host": "127.0.0.2",
    "port_range_low": 20000,
    "port_range_high": 20100,
    "use_absolute_ip": True,
    "global_aiohttp_connector_limit": 65536,
    "maze_agent": {"responses_api_agents": {"walker": {"max_steps": 9}}},
}


@pytest.mark.parametrize("make", [dict, OmegaConf.create], ids=["dict", "DictConfig"])
def test_a_trainers_values_are_a_whole_configuration(make, workplace):
    given = GlobalConfigDictParserConfig(initial_global_config_dict=make(VALUES), skip_load_from_cli=True)
    config = given.load(workplace.path)
    assert config.instances["policy_model"].settings["base_url"] == VALUES["policy_base_url"]
    assert config.instances["maze_agent"].settings["max_steps"] == 9
    assert config.instances["maze"].host == "127.0.0.2"
    assert (config.head_host, config.head_port, config.head_is_explicit) == ("0.0.0.0", 12345, True)
    assert config.port_range == (20000, 20100)
    assert "sk-not-to-be-shown" not in repr(given)


def test_omegaconf_values_may_stand_inside_a_plain_dict(workplace):
    values = {"config_paths": OmegaConf.create(["maze.yaml", "model.yaml"]), "maze_agent": OmegaConf.create({})}
    given = GlobalConfigDictParserConfig(initial_global_config_dict=values, skip_load_from_cli=True)
    assert list(given.load(workplace.path).instances) == ["maze", "maze_agent", "policy_model"]


def test_references_are_resolved_when_everything_is_merged(workplace):
    values = OmegaConf.create({"config_paths": ["maze.yaml", "model.yaml"], "policy_base_url": "${address}/v1"})
    workplace.write("env.yaml", "address: http://policy\n")
    given = GlobalConfigDictParserConfig(initial_global_config_dict=values, skip_load_from_cli=True)
    assert given.load(workplace.path).instances["policy_model"].settings["base_url"] == "http://policy/v1"


def test_arguments_of_the_program_are_read_unless_skipped(workplace, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py", "+policy_base_url=http://typed/v1"])
    read = GlobalConfigDictParserConfig(initial_global_config_dict=VALUES).load(workplace.path)
    skipped = GlobalConfigDictParserConfig(initial_global_config_dict=VALUES, skip_load_from_cli=True)
    assert read.values["policy_base_url"] == "http://typed/v1"
    assert skipped.load(workplace.path).values["policy_base_url"] == VALUES["policy_base_url"]


def test_dotenv_path_stands_for_env_yaml_and_need_not_exist(workplace, tmp_path):
    workplace.write("elsewhere/gym_env.yaml", "policy_base_url: http://from-there/v1\n")
    values = {"config_paths": ["maze.yaml", "model.yaml"]}

    def load(**sources: object) -> str:
        given = GlobalConfigDictParserConfig(initial_global_config_dict=values, skip_load_from_cli=True, **sources)
        return str(given.load(workplace.path).values["policy_base_url"])

    assert load() == "http://127.0.0.1:8000/v1"
    assert load(dotenv_path=tmp_path / "elsewhere/gym_env.yaml") == "http://from-there/v1"
    for without in ({"skip_load_from_dotenv": True}, {"dotenv_path": tmp_path / "absent.yaml"}):
        with pytest.raises(ConfigError, match="policy_base_url"):
            load(**without)


def test_a_misspelt_source_is_refused():
    with pytest.raises(ValidationError, match=r"skip_load_from_cl\b"):
        GlobalConfigDictParserConfig(skip_load_from_cl=True)
