"""The pages `docs/skyrl.md` and `docs/verl.md` work as printed, as far as they do without these trainers."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from nemo_gym.training.skyrl import SkyRLOptions, episodes_of, generator_output
from nemo_gym.training.task_rows import task_row_of
from nemo_gym.training.verl import AgentLoopOutput, GymAgentLoop, agent_loop_output
from tests.e2e.documents import ROOT, checkout_in, shell, write_files
from tests.training.played import play

SKYRL, VERL = ROOT / "docs" / "skyrl.md", ROOT / "docs" / "verl.md"
ROWS = ROOT / "resources_servers" / "example_multi_turn" / "data" / "example.jsonl"


@pytest.fixture
async def rollouts() -> list[dict[str, Any]]:
    """Three repeats of each example of an environment of several turns."""
    policy = {"oracle": 0.5, "random": 0.5}
    repeats = [await play("example_multi_turn", policy=policy, seed=seed) for seed in range(3)]
    return [one | {"_ng_rollout_index": number} for number, repeat in enumerate(repeats) for one in repeat]


@pytest.mark.parametrize("page", [SKYRL, VERL], ids=["skyrl", "verl"])
def test_the_datasets_rows_hold_the_task_rows(page: Path, tmp_path: Path) -> None:
    write_files(page, checkout_in(tmp_path))
    shell("python make_dataset.py", tmp_path)
    made = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    given = [json.loads(line) for line in ROWS.read_text().splitlines()]
    assert [task_row_of(row, index) for index, row in enumerate(made)] == given
    assert all(row["prompt"] for row in made)


def test_stored_rollouts_become_rows_as_the_page_shows(rollouts: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "rollouts.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rollouts))
    blocks = re.findall(r"^```python\n(.*?)^```", SKYRL.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "show.py").write_text(next(block for block in blocks if "results/rollouts.jsonl" in block))
    shown = shell("python show.py", tmp_path)
    turns = sum(len(each["turns"]) for each in rollouts)
    found = re.findall(r"^(\w+) (whole|step-wise): (\d+) rows, (\d+) trained tokens$", shown, re.MULTILINE)
    assert [(credit, shape, int(rows)) for credit, shape, rows, _ in found] == [
        ("final", "whole", 15),
        ("turn", "whole", 15),
        ("final", "step-wise", turns),
        ("turn_as_trajectory", "step-wise", turns),
    ]
    assert turns > 15 and len({tokens for *_, tokens in found}) == 1, "every shape trains the same tokens"


def test_the_pages_name_the_metrics_and_facts_that_there_are(rollouts: list[dict[str, Any]]) -> None:
    output = generator_output(episodes_of(rollouts), SkyRLOptions(eos_token_id=0))
    text = SKYRL.read_text()
    names = [*output["rollout_metrics"], *(output["env_metrics"][0].keys() - {"rollout", "turns"})]
    names += [each.name for each in fields(SkyRLOptions)]
    assert [name for name in names if f"`{name}`" not in text and f"{name}=" not in text] == []
    text = VERL.read_text()
    one = agent_loop_output(rollouts[0], prompt_length=4096, response_length=4096, eos_token_id=0)
    named = [*AgentLoopOutput.__annotations__, *one["metrics"], *one["extra_fields"]["reward_extra_info"]]
    named += one["extra_fields"].keys() - {"tool_rewards"}
    assert [name for name in named if f"`{name}`" not in text] == []


def test_the_agent_loops_entry_is_one_that_its_class_takes() -> None:
    [block] = re.findall(r"^`agent_loops\.yaml`\n\n```yaml\n(.*?)^```", VERL.read_text(), re.MULTILINE | re.DOTALL)
    [entry] = yaml.safe_load(block)
    assert entry.pop("name") == "gym"
    assert entry.pop("_target_") == f"{GymAgentLoop.__module__}.{GymAgentLoop.__qualname__}"
    parameters = inspect.signature(GymAgentLoop).parameters
    assert entry.keys() <= parameters.keys()
    keys = re.findall(r"^\| `(\w+)` \| (.*?) \|", VERL.read_text(), re.MULTILINE)
    listed = {key: default for key, default in keys if key in parameters}
    assert listed.keys() == parameters.keys() - {"trainer_config", "tokenizer", "_"}
    assert listed["max_attempts"] == str(parameters["max_attempts"].default)
    assert float(listed["timeout_s"]) == parameters["timeout_s"].default
