"""A recipe in a configuration: what it adds, what it wins over, and what no server here can do for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from nemo_gym.config.initial import GlobalConfigDictParserConfig
from nemo_gym.config.instance import GymConfig
from nemo_gym.errors import ConfigError
from nemo_gym.training.recipe import Recipe
from nemo_gym.training.recipe_config import load_with_recipe, with_recipe
from tests.training.written_recipes import LAKE, SQL_TYPED, STEP_WISE

ROOT = Path(__file__).resolve().parents[2]
SCRIPTED = "responses_api_models/scripted_model/configs/scripted_model.yaml"
LAKE_FILE = "resources_servers/frozen_lake/configs/frozen_lake.yaml"
LIMIT = "frozen_lake.resources_servers.frozen_lake.max_turns"


def load(tmp_path: Path, text: str, *arguments: str, paths: str = SCRIPTED) -> GymConfig:
    (tmp_path / "recipe.yaml").write_text(text)
    return load_with_recipe(
        tmp_path / "recipe.yaml", [f"+config_paths=[{paths}]", *arguments], cwd=tmp_path, options=("recipe",)
    )


def mistake(tmp_path: Path, text: str, *arguments: str, paths: str = SCRIPTED) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, *arguments, paths=paths)
    [problem] = caught.value.problems
    return str(problem).replace(str(tmp_path / "recipe.yaml"), "recipe.yaml")


def agents_settings(config: GymConfig) -> dict[str, dict[str, Any]]:
    agents = [each for each in config.instances.values() if each.server_type == "responses_api_agents"]
    return {each.name: each.settings for each in agents}


def test_the_environments_file_is_added_once_and_its_limits_are_the_recipes(tmp_path) -> None:
    for paths in (SCRIPTED, f"{LAKE_FILE},{SCRIPTED}"):
        config = load(tmp_path, LAKE, paths=paths)
        assert set(config.instances) == {"frozen_lake", "frozen_lake_simple_agent", "policy_model"}
        lake = config.instances["frozen_lake"]
        assert (lake.settings["max_turns"], lake.settings["max_episode_length"]) == (3, 50)
        assert lake.settings["max_actions_per_turn"] == 5
        assert lake.sources["max_turns"] == str(tmp_path / "recipe.yaml")


def test_every_agent_gets_the_limits_also_where_no_environment_is_named(tmp_path) -> None:
    calendar = "resources_servers/calendar/configs/calendar.yaml"
    settings = agents_settings(load(tmp_path, STEP_WISE, paths=f"{SCRIPTED},{calendar}"))
    assert set(settings) == {"calendar_agent", "calendar_simple_agent"}
    assert {(each["max_steps"], each["max_total_tokens"]) for each in settings.values()} == {(6, 29000)}


def test_the_recipe_wins_over_files_and_env_yaml_and_the_command_line_over_the_recipe(tmp_path) -> None:
    (tmp_path / "env.yaml").write_text("frozen_lake: {resources_servers: {frozen_lake: {max_turns: 8}}}")
    assert load(tmp_path, LAKE).instances["frozen_lake"].settings["max_turns"] == 3
    assert load(tmp_path, LAKE, f"++{LIMIT}=5").instances["frozen_lake"].settings["max_turns"] == 5
    without_limit = load(tmp_path, "env_cfgs: {env_name: frozen_lake}")
    assert without_limit.instances["frozen_lake"].settings["max_turns"] == 8


def test_an_environment_that_is_not_there_is_told_with_the_nearest_one(tmp_path) -> None:
    told = mistake(tmp_path, "environment: {env_class: text2sql}")
    assert (
        told == "recipe.yaml: `environment.env_class`: there is no environment `text2sql`; did you mean `text_to_sql`?"
    )
    assert "did you mean `frozen_lake`?" in mistake(tmp_path, LAKE.replace("frozen_lake", "frozenlake"))


def test_a_limit_that_no_environment_has_is_told(tmp_path) -> None:
    told = mistake(tmp_path, LAKE.replace("frozen_lake", "text_to_sql"))
    assert told.startswith("recipe.yaml: `env_cfgs.max_episode_length`: no environment of this configuration has")


def test_a_mistake_of_the_recipe_itself_is_told_before_any_other(tmp_path) -> None:
    assert "`agent_proxy.max_turns`" in mistake(tmp_path, "agent_proxy: {max_turns: 3}", paths="absent.yaml")


@pytest.mark.parametrize("wrapped", [dict, OmegaConf.create])
def test_a_trainer_starts_its_servers_with_the_recipe_in_its_values(tmp_path, wrapped) -> None:
    recipe = Recipe.read({}, [*SQL_TYPED.split(), "train_cfgs.multi_turn=false"])
    values = {"config_paths": [SCRIPTED], "policy_model_name": "mine", "head_server": {"port": 12345}}
    initial = with_recipe(recipe, wrapped(values), cwd=tmp_path)
    parser = GlobalConfigDictParserConfig(
        initial_global_config_dict=initial, skip_load_from_cli=True, skip_load_from_dotenv=True
    )
    config = parser.load(tmp_path)
    assert set(config.instances) == {"text_to_sql", "text_to_sql_simple_agent", "policy_model"}
    [settings] = agents_settings(config).values()
    assert (settings["max_steps"], settings["use_environment"]) == (1, False)
    assert config.instances["text_to_sql"].settings["max_turns"] == 6, "single turns limit no environment"
    assert (config.values["policy_model_name"], config.head_port) == ("mine", 12345)


def test_a_trainers_own_settings_stay_beside_the_recipes(tmp_path) -> None:
    lake = {"frozen_lake": {"resources_servers": {"frozen_lake": {"max_turns": 9, "format_penalty": 0.5}}}}
    written = Recipe.read({"env_cfgs.env_name": "frozen_lake", "generator.max_turns": 4})
    initial = with_recipe(written, {"config_paths": SCRIPTED, **lake}, cwd=tmp_path)
    assert initial["frozen_lake"]["resources_servers"]["frozen_lake"] == {"max_turns": 4, "format_penalty": 0.5}
