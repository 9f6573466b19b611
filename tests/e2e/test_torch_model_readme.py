"""README of torch_model: its commands work as printed, through the server's own process."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training extras: make test-training")

from tests.e2e.documents import ROOT, bash_blocks, checkout_in, running, shell

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.training,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands need curl"),
]


def test_the_readmes_model_answers_and_takes_new_weights(tmp_path: Path) -> None:
    make, start, ask, update = bash_blocks(ROOT / "responses_api_models/torch_model/README.md")
    folder = checkout_in(tmp_path)
    shell(make, folder)
    with running(start, folder):
        answer = shell(ask, folder)
        assert '"object":"response"' in answer
        item = json.loads(answer)["output"][-1]
        assert len(item["generation_token_ids"]) == len(item["generation_log_probs"]) > 0
        assert item["policy_version"] == 0
        assert json.loads(shell(update, folder)) == {"policy_version": 1}
        asked_again = ask.replace("my-rollout", "another")
        assert json.loads(shell(asked_again, folder))["output"][-1]["policy_version"] == 1
