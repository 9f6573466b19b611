"""The page `docs/recipes.md` works as printed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from nemo_gym.errors import ConfigError
from nemo_gym.training.recipe import Recipe
from nemo_gym.training.recipe_options import OPTIONS
from tests.e2e.documents import ROOT, bash_blocks, checkout_in, running, shell, write_files

PAGE = ROOT / "docs" / "recipes.md"
TEXT = PAGE.read_text(encoding="utf-8")
SERVE, COLLECT = bash_blocks(PAGE)
PRINTED, MISTAKES = re.findall(r"^```text\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.e2e
def test_servers_collection_and_trainer_do_what_the_recipe_says(tmp_path: Path) -> None:
    write_files(PAGE, checkout_in(tmp_path))
    with running(SERVE, tmp_path):
        shell(COLLECT, tmp_path)
    rollouts = [json.loads(line) for line in (tmp_path / "results" / "lake.jsonl").read_text().splitlines()]
    assert len(rollouts) == 10 and {rollout["mode"] for rollout in rollouts} == {"multi_turn"}
    assert max(len(rollout["turns"]) for rollout in rollouts) <= 3
    wanted = {"max_output_tokens": 1024, "temperature": 1.0}
    assert all(wanted.items() <= rollout["responses_create_params"].items() for rollout in rollouts)
    assert shell("python learn.py", tmp_path) == PRINTED


@pytest.mark.e2e
def test_the_configuration_with_the_recipe_can_be_looked_at(tmp_path: Path) -> None:
    write_files(PAGE, checkout_in(tmp_path))
    shown = yaml.safe_load(shell(SERVE.replace("ng_run", "ng_dump_config"), tmp_path))
    lake = shown["frozen_lake"]["resources_servers"]["frozen_lake"]
    assert (lake["max_turns"], lake["max_episode_length"], lake["max_actions_per_turn"]) == (3, 50, 5)
    assert shown["frozen_lake_simple_agent"]["responses_api_agents"]["simple_agent"]["max_steps"] == 3
    typed = " ++frozen_lake.resources_servers.frozen_lake.max_turns=7"
    shown = yaml.safe_load(shell(SERVE.strip().replace("ng_run", "ng_dump_config") + typed, tmp_path))
    assert shown["frozen_lake"]["resources_servers"]["frozen_lake"]["max_turns"] == 7


def test_the_mistakes_of_the_page_are_told_in_its_words() -> None:
    values = {
        "train_cfgs": {"max_turns": 3, "bi_level_gae": True},
        "agent_proxy": {"max_turn": 3},
        "generator": {"max_turns": 5, "backend": "sglang", "use_conversation_multi_turn": False},
    }
    with pytest.raises(ConfigError) as caught:
        Recipe.read(values)
    assert [str(problem).replace("recipe: ", "recipe.yaml: ", 1) for problem in caught.value.problems] == (
        MISTAKES.splitlines()
    )


def test_the_page_names_every_key() -> None:
    for option in OPTIONS.values():
        for key in option.keys:
            section, _, name = key.rpartition(".")
            assert f"`{key}`" in TEXT or (f"`{name}`" in TEXT and section in TEXT), key
