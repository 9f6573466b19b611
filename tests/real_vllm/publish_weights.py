"""A trainer in vLLM's environment: publishes weights made by a seed, and writes what they answer to prompts of ids.

`python publish_weights.py SEED FOLDER VLLM_URL KEY MODEL_SERVER_URL`, prompts as JSON on stdin. The last line that it
writes is JSON: for each prompt the likeliest continuation by the new weights, or `{"error": ...}` where it is refused.
"""

from __future__ import annotations

import json
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from nemo_gym.errors import WeightUpdateError
from nemo_gym.training.weights import VLLMWeights

ANSWER_LENGTH = 12


def trained_model(folder: str, seed: int) -> PreTrainedModel:
    """The folder's model with other weights, which differ by seed."""
    torch.manual_seed(1000 + seed)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).float().eval()
    return model


@torch.inference_mode()
def likeliest(model: PreTrainedModel, prompt: list[int]) -> list[int]:
    """Up to `ANSWER_LENGTH` ids, the end of the answer included, each by a plain forward pass."""
    ids = list(prompt)
    for _ in range(ANSWER_LENGTH):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == model.config.eos_token_id:
            break
    return ids[len(prompt) :]


def main() -> None:
    seed, folder, vllm_url, key, model_server_url = sys.argv[1:]
    prompts: list[list[int]] = json.load(sys.stdin)
    model = trained_model(folder, int(seed))
    try:
        VLLMWeights(vllm_url, folder, key, model_server_url).publish(model.state_dict(), int(seed))
    except WeightUpdateError as error:
        print(json.dumps({"error": str(error)}))  # noqa: T201
    else:
        print(json.dumps([likeliest(model, prompt) for prompt in prompts]))  # noqa: T201


if __name__ == "__main__":
    main()
