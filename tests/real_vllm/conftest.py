"""A real vLLM behind `local_vllm_model`, in a run of `ng_run`: one as a trainer's endpoint, one that is sent ids."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from nemo_gym.serving.runs import fetch_directory, find_run

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("NEMO_GYM_VLLM_PYTHON")
KEY = "real-vllm-test"
BIN = Path(sys.executable).parent
VARIABLES = {
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_SERVER_DEV_MODE": "1",  # has the routes by which a trainer updates weights
    "OMP_NUM_THREADS": "1",
}
ARGUMENTS = {
    "dtype": "float32",
    "enforce_eager": True,
    "enable_auto_tool_choice": True,
    "tool_call_parser": "hermes",
    "reasoning_parser": "qwen3",
    "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
    "max_logprobs": -1,  # so that a test may ask for the whole vocabulary
}


EXACT_STEPS = 13
"""Model calls of a rollout with `exact_vllm`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.real_vllm)
            if PYTHON is None:
                item.add_marker(pytest.mark.skip(reason="needs vllm: make test-vllm"))


@dataclass
class RealVLLM:
    """A run with real vLLM in it."""

    folder: Path
    """Where the run was started."""

    @cached_property
    def model_url(self) -> str:
        """Our model server."""
        head_url, token = find_run(self.folder)
        return asyncio.run(fetch_directory(head_url, token=token))["policy_model"].urls[0]

    @cached_property
    def client(self) -> OpenAI:
        """OpenAI's client of our model server."""
        return OpenAI(base_url=f"{self.model_url}/v1", api_key=find_run(self.folder)[1], max_retries=0)

    @cached_property
    def own_url(self) -> str:
        """vLLM itself."""
        [log] = self.folder.glob(".nemo_gym/runs/*/policy_model.log")
        found = re.search(r"vllm answers at (http://\S+)", log.read_text())
        assert found, "the log does not tell vLLM's address"
        return found[1]

    def ask_vllm(self, path: str, **body: Any) -> Json:
        """vLLM's own answer, nothing of ours between."""
        headers = {"authorization": f"Bearer {KEY}"}
        answer = httpx.post(f"{self.own_url}{path}", json={"model": self.name, **body}, headers=headers, timeout=120)
        assert answer.status_code == 200, answer.text
        parsed: Json = answer.json()
        return parsed

    @property
    def name(self) -> str:
        """What vLLM calls the model."""
        return str(self.folder / "tiny")


@pytest.fixture(scope="session")
def real_vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVLLM]:
    """Messages go to vLLM's own chat route. One token a character, tied embeddings. About a minute."""
    with running(tmp_path_factory.mktemp("real_vllm"), "letters", token_mode="pass_through", max_steps=3) as run:
        yield run


@pytest.fixture(scope="session")
def exact_vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVLLM]:
    """Prompts are built from what was sampled, and go to vLLM as ids. A tokenizer with merges. About a minute."""
    with running(tmp_path_factory.mktemp("exact_vllm"), "merges", token_mode="auto", max_steps=EXACT_STEPS) as run:
        yield run


@contextmanager
def running(folder: Path, kind: str, *, token_mode: str, max_steps: int) -> Iterator[RealVLLM]:
    """Makes the model and starts everything."""
    assert PYTHON is not None
    texts = sorted(map(str, (ROOT / "docs").glob("*.md"))) if kind == "merges" else []
    script = str(ROOT / "tests/real_vllm/tiny_model.py")
    subprocess.run([PYTHON, script, str(folder / "tiny"), kind, *texts], check=True, capture_output=True)
    settings = {
        "entrypoint": "app.py",
        "model": str(folder / "tiny"),
        "python": PYTHON,
        "api_key": KEY,
        "return_token_id_information": True,
        "token_mode": token_mode,
        "chat_template_kwargs": {"enable_thinking": False},
        "vllm_serve_kwargs": ARGUMENTS,
        "vllm_serve_env_vars": VARIABLES,
    }
    config = {"policy_model": {"responses_api_models": {"local_vllm_model": settings}}}
    (folder / "tiny.yaml").write_text(json.dumps(config))
    environment = ROOT / "resources_servers/example_multi_step/configs/example_multi_step.yaml"
    run = subprocess.Popen(
        [
            str(BIN / "ng_run"),
            f"+config_paths=[{folder / 'tiny.yaml'},{environment}]",
            f"++example_multi_step_simple_agent.responses_api_agents.simple_agent.max_steps={max_steps}",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert run.stdout is not None
        said: list[str] = []
        while not said or " ready" not in said[-1]:
            line = run.stdout.readline()
            assert line, "".join(said[-30:])
            said.append(line)
        yield RealVLLM(folder)
    finally:
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
        deadline = time.monotonic() + 20
        while left := vllm_processes(folder):
            assert time.monotonic() < deadline, f"vLLM still runs: {left}"
            time.sleep(0.1)


def vllm_processes(folder: Path) -> list[str]:
    """Command lines of processes that serve the model in that folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(folder / "tiny").encode() in words:
            found.append(f"{process.name}: {b' '.join(words[:4]).decode()}")
    return found
