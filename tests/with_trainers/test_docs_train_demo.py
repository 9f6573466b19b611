"""The commands on `docs/train-demo.md`, cut short; those before a real vLLM where there is one."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training extras: make test-training")
pytest.importorskip("trl", reason="needs the training extras: make test-training")

from tests.e2e.documents import ROOT, bash_blocks, checkout_in, shell
from tests.real_vllm.conftest import PYTHON, VARIABLES
from tests.real_vllm.test_weights import until_healthy

pytestmark = [pytest.mark.training, pytest.mark.e2e]

DEMO, MAKE, SERVE, BEFORE_VLLM = bash_blocks(ROOT / "docs/train-demo.md")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return checkout_in(tmp_path)


def test_the_command_trains_and_leaves_what_the_page_names(folder: Path) -> None:
    said = shell(f"{DEMO.strip()} +steps=2", folder)
    [made, servers, header, *_] = said.splitlines()
    assert made.startswith("model made: ") and servers.startswith("servers run: ")
    assert header.split() == ["step", "reward", "log-prob", "mismatch", "tokens/s", "s"]
    assert "held-out reward" in said.splitlines()[-1]
    left = folder / "results/train_demo"
    assert {path.name for path in left.iterdir()} == {"model", "trained", "curve.png", "results.json"}


@pytest.fixture
def vllm(folder: Path) -> Iterator[tuple[Path, str]]:
    """The page's vLLM, on a port of its own and a CPU: the folder, and where its API begins."""
    shell(MAKE, folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = shlex.split(SERVE.replace("\\\n", " "))
    at = words.index("vllm")
    _, serve, model, *options = words[at:]
    assert serve == "serve"
    log = folder / "vllm.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(str(PYTHON), "-m", "vllm.entrypoints.openai.api_server", "--model", model, *options),
                *("--host", "127.0.0.1", "--port", str(port), "--enforce-eager"),
            ],
            cwd=folder,
            env={**os.environ, **VARIABLES, **dict(word.split("=", 1) for word in words[:at])},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until_healthy(f"http://127.0.0.1:{port}", process, log)
        yield folder, f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.mark.skipif(PYTHON is None, reason="needs vllm: NEMO_GYM_VLLM_PYTHON")
def test_before_a_real_vllm_the_log_probs_are_the_trainers(vllm: tuple[Path, str]) -> None:
    folder, url = vllm
    shell(BEFORE_VLLM.replace("http://127.0.0.1:8000/v1", url).strip() + " +steps=2", folder)
    results = json.loads((folder / "results/train_demo_vllm/results.json").read_text())
    assert results["failed_rollouts"] == 0
    assert 0 < results["log_prob_mismatch_max"] <= 1e-4
