"""torch_model as a process of its own: its README's commands work as printed, and agents roll out on it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx
import pytest

pytest.importorskip("torch", reason="needs the training extras: make test-training")

from nemo_gym.training.samples import samples_of_all
from nemo_gym.training.trajectory import trajectories_of
from tests.e2e.documents import ROOT, bash_blocks, checkout_in, running, shell

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.training,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands need curl"),
]

MAKE, START, ASK, UPDATE = bash_blocks(ROOT / "responses_api_models/torch_model/README.md")
ENVIRONMENT = "resources_servers/example_multi_step"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the README's tiny model in it."""
    shell(MAKE, checkout_in(tmp_path))
    return tmp_path


def test_the_readmes_model_answers_and_takes_new_weights(folder: Path) -> None:
    with running(START, folder):
        answer = shell(ASK, folder)
        assert '"object":"response"' in answer
        item = json.loads(answer)["output"][-1]
        assert len(item["generation_token_ids"]) == len(item["generation_log_probs"]) > 0
        assert item["policy_version"] == 0
        assert json.loads(shell(UPDATE, folder)) == {"policy_version": 1}
        asked = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
        name, _, value = (folder / ".nemo_gym/latest/authorization").read_text().strip().partition(": ")
        url = "http://127.0.0.1:8206/v1/chat/completions"
        chat = httpx.post(url, json=asked, headers={name: value}, timeout=60).json()
        assert chat["choices"][0]["message"]["policy_version"] == 1


def test_rollouts_of_an_agent_become_samples(folder: Path) -> None:
    start = START.replace(".yaml]", f".yaml,{ENVIRONMENT}/configs/example_multi_step.yaml]")
    rows = [json.loads(line) for line in (ROOT / ENVIRONMENT / "data/example.jsonl").read_text().splitlines()]
    for row in rows:
        row["responses_create_params"] |= {"max_output_tokens": 20, "temperature": 1.0}
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    collect = "ng_collect_rollouts +agent_name=example_multi_step_simple_agent +input_jsonl_fpath=rows.jsonl"
    with running(start, folder):
        shell(f"{collect} +output_jsonl_fpath=results/rollouts.jsonl", folder)
    results = [json.loads(line) for line in (folder / "results/rollouts.jsonl").read_text().splitlines()]
    assert len(results) == len(rows)
    samples = samples_of_all(trajectories_of(results), "whole")
    assert len(samples) == len(rows)
    for sample in samples:
        assert sample.loss_mask.sum() > 0
        assert set(sample.policy_versions) == {0}
