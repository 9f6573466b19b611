"""Stands for `python -m vllm.entrypoints.openai.api_server`: answers with what it knows of itself, and dies when told.

FAKE_VLLM_FAILS: end at once with that line. FAKE_VLLM_DEATHS: a file; each process that finds a line in it takes that
line away, and dies at its first request. FAKE_VLLM_LOADS_S: seconds until it answers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import uvicorn

from nemo_gym.upstream.fake_vllm import FakeVLLM, Said


def about_this_process() -> str:
    """JSON: what a test wants to know."""
    told = {
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "key": os.environ.get("VLLM_API_KEY"),
        "strict_tools": os.environ.get("VLLM_ENFORCE_STRICT_TOOL_CALLING"),
    }
    return json.dumps({"pid": os.getpid(), "child": CHILD.pid, "arguments": sys.argv[1:], **told})


def answer(_: dict[str, Any]) -> Said:
    """What the model says."""
    deaths = Path(os.environ.get("FAKE_VLLM_DEATHS", os.devnull))
    left = deaths.read_text().splitlines()
    if left:
        deaths.write_text("\n".join(left[1:]))
        sys.stdout.write("EngineCore: CUDA error\n")
        sys.stdout.flush()
        os._exit(1)
    return Said(about_this_process())


if __name__ == "__main__":
    if reason := os.environ.get("FAKE_VLLM_FAILS"):
        sys.exit(reason)
    # As vLLM has its engine in a process of its own, whose environment nobody can see.
    CHILD = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={})
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--host")
    given, _ = parser.parse_known_args()
    time.sleep(float(os.environ.get("FAKE_VLLM_LOADS_S", "0")))
    uvicorn.run(FakeVLLM(answer).app, host=given.host, port=given.port, log_level="warning")
