"""Loading a configuration that is right: precedence, merging, references, where paths are looked up."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemo_gym.config import places
from nemo_gym.errors import ConfigError

BOTH = "+config_paths=[maze.yaml,model.yaml]"
WALKER = "maze_agent.responses_api_agents.walker"


def test_load_gives_every_instance_with_its_folder_and_source(workplace):
    config = workplace.load(BOTH)
    assert list(config.instances) == ["maze", "maze_agent", "policy_model"]
    agent = config.instances["maze_agent"]
    assert (agent.server_type, agent.implementation) == ("responses_api_agents", "walker")
    assert agent.folder == workplace.path / "responses_api_agents/walker"
    assert (agent.entrypoint, agent.host, agent.port, agent.num_workers) == ("app.py", "127.0.0.1", None, 1)
    assert agent.settings["resources_server"] == {"type": "resources_servers", "name": "maze"}
    assert agent.source == "maze.yaml"
    assert config.sources == ("maze.yaml", "model.yaml", "env.yaml")


def test_a_reference_takes_the_value_it_names(workplace):
    assert workplace.load(BOTH).instances["policy_model"].settings["base_url"] == "http://127.0.0.1:8000/v1"


def test_the_command_line_beats_env_yaml_which_beats_the_files(workplace):
    workplace.write("last.yaml", "policy_base_url: from-file\nseed: 1\n")
    paths = "+config_paths=[maze.yaml,model.yaml,last.yaml]"
    assert workplace.load(paths).values["policy_base_url"] == "http://127.0.0.1:8000/v1"
    assert workplace.load(paths, "+policy_base_url=from-argv").values["policy_base_url"] == "from-argv"
    assert workplace.load(paths).values["seed"] == 1


def test_a_later_file_changes_single_keys_of_an_instance(workplace):
    workplace.write("longer.yaml", "maze_agent: {responses_api_agents: {walker: {max_steps: 99}}}\n")
    agent = workplace.load("+config_paths=[maze.yaml,model.yaml,longer.yaml]").instances["maze_agent"]
    assert agent.settings["max_steps"] == 99
    assert agent.settings["entrypoint"] == "app.py"
    assert agent.source == "maze.yaml"


def test_a_setting_knows_the_source_that_set_it_last(workplace):
    workplace.write("longer.yaml", "maze_agent: {responses_api_agents: {walker: {max_steps: 40}}}")
    agent = "maze_agent.responses_api_agents.walker"
    paths = "+config_paths=[maze.yaml,model.yaml,longer.yaml]"
    instance = workplace.load(paths, f"++{agent}.port=8099").instances["maze_agent"]
    assert instance.source == "maze.yaml"
    assert instance.sources == {"max_steps": "longer.yaml", "port": "command line"}


def test_a_later_unset_value_replaces_nothing(workplace):
    workplace.write("later.yaml", "maze_agent: {responses_api_agents: {walker: {max_steps: '???'}}}\n")
    agent = workplace.load("+config_paths=[maze.yaml,model.yaml,later.yaml]").instances["maze_agent"]
    assert agent.settings["max_steps"] == 20


def test_a_file_names_further_files_which_it_may_override(workplace):
    workplace.write(
        "all.yaml",
        "config_paths: [maze.yaml, model.yaml]\nmaze_agent: {responses_api_agents: {walker: {max_steps: 7}}}\n",
    )
    config = workplace.load("+config_paths=[all.yaml]")
    assert config.sources == ("maze.yaml", "model.yaml", "all.yaml", "env.yaml")
    assert config.instances["maze_agent"].settings["max_steps"] == 7


def test_files_that_name_each_other_are_read_once(workplace):
    workplace.write("a.yaml", "config_paths: [b.yaml, maze.yaml, model.yaml]\n")
    workplace.write("b.yaml", "config_paths: [a.yaml]\n")
    assert workplace.load("+config_paths=[a.yaml,b.yaml]").sources[:2] == ("b.yaml", "maze.yaml")


@pytest.mark.parametrize("argument", [BOTH, BOTH.removeprefix("+"), f"+{BOTH}"])
def test_config_paths_may_be_given_with_any_number_of_plus_signs(workplace, argument):
    assert len(workplace.load(argument).instances) == 3


def test_config_paths_may_stand_in_env_yaml_and_refer_to_variables(workplace, monkeypatch):
    monkeypatch.setenv("NG_TEST_CONFIG", "maze")
    workplace.write("env.yaml", "policy_base_url: x\nconfig_paths: ['${oc.env:NG_TEST_CONFIG}.yaml', model.yaml]\n")
    assert len(workplace.load().instances) == 3
    assert len(workplace.load("+config_paths=model.yaml").instances) == 1


def test_overrides_set_change_and_remove(workplace):
    config = workplace.load(
        BOTH,
        f"{WALKER}.max_steps=3",
        f"+{WALKER}.extra={{a: 1, b: [x, 2.5, null]}}",
        f"++{WALKER}.extra.a=2",
        f"{WALKER}.datasets.0.name=first",
        "~maze.resources_servers.maze.domain",
    )
    settings = config.instances["maze_agent"].settings
    assert settings["max_steps"] == 3
    assert settings["extra"] == {"a": 2, "b": ["x", 2.5, None]}
    assert settings["datasets"][0]["name"] == "first"
    assert "domain" not in config.instances["maze"].settings


def test_an_instance_can_be_removed_and_defined_anew(workplace):
    workplace.write("resources_servers/castle/app.py", "")
    config = workplace.load(BOTH, "~maze", "+maze={resources_servers: {castle: {entrypoint: app.py}}}")
    assert config.instances["maze"].implementation == "castle"
    assert config.instances["maze"].source == "command line"


def test_references_take_environment_variables_and_defaults(workplace, monkeypatch):
    monkeypatch.setenv("NG_TEST_PORT", "12345")
    workplace.write("model.yaml", MODEL_WITH_VARIABLES)
    model = workplace.load(BOTH).instances["policy_model"]
    assert model.port == 12345
    assert model.settings["timeout_s"] == 30
    assert model.settings["copy"] == {"port": "12345"}


MODEL_WITH_VARIABLES = """\
ports: {port: "${oc.env:NG_TEST_PORT}"}
policy_model:
  responses_api_models:
    oracle:
      entrypoint: app.py
      port: ${ports.port}
      timeout_s: ${oc.decode:${oc.env:NG_TEST_TIMEOUT,30}}
      copy: ${ports}
"""


def test_initial_values_stand_between_env_yaml_and_the_command_line(workplace):
    initial = {"config_paths": ["maze.yaml", "model.yaml"], "policy_base_url": "given", "seed": 1}
    config = workplace.load("+seed=2", initial=initial)
    assert config.values["policy_base_url"] == "given"
    assert config.values["seed"] == 2


def test_options_of_the_command_are_no_part_of_the_configuration(workplace):
    assert "reload" not in workplace.load(BOTH, "+reload=true", options={"reload"}).values


def test_the_head_server_and_ports_are_read(workplace):
    config = workplace.load(BOTH)
    assert (config.head_host, config.head_port, config.head_is_explicit) == ("127.0.0.1", 11000, False)
    assert config.port_range is None
    config = workplace.load(
        BOTH, "+default_host=0.0.0.0", "+head_server.port=11001", "+port_range_low=2000", "+port_range_high=3000"
    )
    assert (config.head_host, config.head_port, config.head_is_explicit) == ("0.0.0.0", 11001, True)
    assert config.port_range == (2000, 3000)
    assert config.instances["maze"].host == "0.0.0.0"


def test_folders_and_files_are_found_in_the_install_when_not_here(tmp_path):
    assert (places.INSTALL_ROOT / "nemo_gym").is_dir()
    assert places.find_file("nemo_gym/errors.py", tmp_path) == places.INSTALL_ROOT / "nemo_gym/errors.py"
    found = places.find_implementation("resources_servers", "calendar", "app.py", tmp_path)
    assert found == places.INSTALL_ROOT / "resources_servers/calendar"


def test_a_folder_here_beats_the_installed_one_unless_it_holds_only_data(tmp_path):
    here = tmp_path / "resources_servers/calendar"
    here.mkdir(parents=True)
    installed = places.INSTALL_ROOT / "resources_servers/calendar"
    assert places.find_implementation("resources_servers", "calendar", "app.py", tmp_path) == installed
    (here / "app.py").touch()
    assert places.find_implementation("resources_servers", "calendar", "app.py", tmp_path) == here


def test_implementation_folders_may_be_nested(workplace):
    workplace.write("resources_servers/mazes/small/app.py", "")
    workplace.write("maze.yaml", "m: {resources_servers: {mazes/small: {entrypoint: app.py}}}\n")
    maze = workplace.load("+config_paths=[maze.yaml]").instances["m"]
    assert maze.folder == workplace.path / "resources_servers/mazes/small"


def test_yaml_is_read_as_omegaconf_reads_it(workplace):
    workplace.write("plain.yaml", "rate: 1e-3\nday: 2024-01-02\n'on': yes\n1: one\nmerged: {<<: {a: 1}, b: 2}\n")
    values = workplace.load("+config_paths=[maze.yaml,model.yaml,plain.yaml]").values
    assert values["rate"] == 0.001
    assert values["day"] == "2024-01-02"
    assert values["on"] is True
    assert values["1"] == "one"
    assert values["merged"] == {"a": 1, "b": 2}


def test_secrets_stay_out_of_the_text_of_a_configuration(workplace):
    assert "hunter22" not in repr(workplace.load(BOTH, "+maze.resources_servers.maze.password=hunter22"))


ENDPOINTS = [f"+{name}=x" for name in ("policy_api_key", "policy_model_name", "policy_model_path")]
ENDPOINTS += [f"+{name}=x" for name in ("user_base_url", "user_api_key", "user_model_name")]
"""What `env.yaml` holds of the policy, beside its `policy_base_url`, and of a simulated user."""
SHIPPED = sorted(places.INSTALL_ROOT.glob("re*_*/*/configs/*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_config_that_ships_needs_at_most_what_it_marks_as_to_be_set(workplace, path: Path):
    names = ["model.yaml"] if path.parts[-4] != "responses_api_models" else []
    names.append(path.relative_to(places.INSTALL_ROOT).as_posix())
    try:
        workplace.load(f"+config_paths=[{','.join(names)}]", *ENDPOINTS)
    except ConfigError as error:
        assert all(problem.message.startswith("must be set") for problem in error.problems), str(error)
