"""Weights published to a real vLLM: it samples by them, forgets what it cached, and finishes calls under way first."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.real_vllm.conftest import KEY, PYTHON, ROOT, VARIABLES

TOLERANCE = 1e-4
START_S = 400
TRAINER = ROOT / "tests/real_vllm/weights_under_load.py"


def trainer(*words: str) -> str:
    assert PYTHON is not None
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([PYTHON, str(TRAINER), *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a tiny model whose embeddings are untied."""
    trainer("make", str(tmp_path / "tiny"))
    return tmp_path / "tiny"


@pytest.fixture
def vllm_url(folder: Path) -> Iterator[str]:
    """A vLLM with its development routes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = {"model": str(folder), "served-model-name": "tiny", "port": str(port), "host": "127.0.0.1"}
    arguments |= {"dtype": "float32", "logprobs-mode": "processed_logprobs"}
    words = [word for name, value in arguments.items() for word in (f"--{name}", value)]
    log = folder.parent / "vllm.log"
    with log.open("wb") as output:
        vllm = subprocess.Popen(
            [str(PYTHON), "-m", "vllm.entrypoints.openai.api_server", *words, "--enforce-eager"],
            env={**os.environ, **VARIABLES, "VLLM_API_KEY": KEY, "VLLM_SERVER_DEV_MODE": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        until_healthy(url, vllm, log)
        yield url
    finally:
        vllm.terminate()
        vllm.wait(timeout=60)


def until_healthy(url: str, vllm: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert vllm.poll() is None, log.read_text()[-3000:]
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"vLLM did not start:\n{log.read_text()[-3000:]}")


def test_vllm_samples_by_what_was_published_and_calls_under_way_finish_on_the_old_weights(
    folder: Path, vllm_url: str
) -> None:
    seen = json.loads(trainer("publish", str(folder), vllm_url, KEY).splitlines()[-1])
    assert seen["still_running"]
    assert seen["before"] < TOLERANCE
    assert seen["meanwhile"] < TOLERANCE
    assert seen["after"] < TOLERANCE
    assert seen["after_by_old"] > 100 * TOLERANCE
    assert seen["version"] == "7"
