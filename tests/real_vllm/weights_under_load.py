"""A trainer in vLLM's environment: publishes new weights while vLLM samples, and tells what was sampled by which.

`python weights_under_load.py make FOLDER` writes a tiny untied model; `... publish FOLDER URL KEY` writes JSON: the
largest difference between vLLM's log-probs and the model's own, before, meanwhile and after.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import torch
from tiny_model import chat_tokenizer, letters, make_model
from transformers import Qwen3ForCausalLM

from nemo_gym.training.weights import VLLMWeights

PROMPT = list(range(1, 40))
TOKENS_MEANWHILE = 400


def untied_model(seed: int) -> Qwen3ForCausalLM:
    config = make_model(chat_tokenizer(letters()), tied=False).config
    torch.manual_seed(seed)
    return Qwen3ForCausalLM(config).eval()


def make(folder: Path) -> None:
    """What vLLM starts from."""
    untied_model(0).save_pretrained(folder)
    chat_tokenizer(letters()).save_pretrained(folder)


def sample(url: str, key: str, max_tokens: int) -> tuple[list[int], list[float]]:
    """Ids and log-probs that vLLM samples."""
    body: dict[str, Any] = {"model": "tiny", "prompt": PROMPT, "max_tokens": max_tokens, "ignore_eos": True}
    body |= {"temperature": 1.0, "logprobs": 0, "return_token_ids": True}
    headers = {"authorization": f"Bearer {key}"}
    answer = httpx.post(f"{url}/v1/completions", json=body, headers=headers, timeout=300)
    answer.raise_for_status()
    [choice] = answer.json()["choices"]
    return choice["token_ids"], choice["logprobs"]["token_logprobs"]


def difference(model: Qwen3ForCausalLM, ids: list[int], log_probs: list[float]) -> float:
    with torch.inference_mode():
        logits = model(torch.tensor([[*PROMPT, *ids]])).logits[0, len(PROMPT) - 1 : -1]
    own = torch.log_softmax(logits, -1)
    return max(abs(float(own[place, token]) - log_probs[place]) for place, token in enumerate(ids))


def publish(folder: Path, url: str, key: str) -> dict[str, object]:
    old, new = untied_model(0), untied_model(1)
    before = sample(url, key, 20)
    with ThreadPoolExecutor() as thread:
        running = thread.submit(sample, url, key, TOKENS_MEANWHILE)
        time.sleep(0.5)
        still_running = not running.done()
        VLLMWeights(f"{url}/v1", folder, key).publish(new.state_dict(), 7)
        meanwhile = running.result()
    after = sample(url, key, 20)
    told = httpx.get(f"{url}/weight_info", headers={"authorization": f"Bearer {key}"}).json()
    return {
        "still_running": still_running,
        "before": difference(old, *before),
        "meanwhile": difference(old, *meanwhile),
        "after": difference(new, *after),
        "after_by_old": difference(old, *after),
        "version": told.get("weight_version"),
    }


if __name__ == "__main__":
    command, folder, *rest = sys.argv[1:]
    if command == "make":
        make(Path(folder))
    else:
        print(json.dumps(publish(Path(folder), *rest)))  # noqa: T201
