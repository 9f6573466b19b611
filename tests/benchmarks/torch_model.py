"""What torch_model samples in a second, over HTTP: `OMP_NUM_THREADS=1 python -m tests.benchmarks.torch_model`.

A tiny Qwen3 with random weights, served by `ng_run`; prompts of about 150 tokens, answers of 24. Needs torch.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import string
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from nemo_gym.serving.http import HttpClient
from nemo_gym.training.weights import TorchModelWeights
from responses_api_models.torch_model.tests.tiny_policy import make_tokenizer
from tests.benchmarks.gym_under_test import GymUnderTest, gym_under_test
from tests.benchmarks.table import machine, markdown_table

CONFIG = Path(__file__).parents[2] / "responses_api_models/torch_model/configs/torch_model.yaml"
MODEL = "policy_model"
VOCABULARY, PROMPT_LENGTH, ANSWER_LENGTH, GROUP, ROUNDS = 512, 130, 24, 8, 7
"""Of the prompt, the message alone: the chat template adds about 20 tokens."""
CONCURRENT = (1, 8, 32, 64, 256)


@dataclass(frozen=True)
class Size:
    """Of the model."""

    layers: int
    hidden: int

    def write(self, folder: Path) -> Qwen3ForCausalLM:
        tokenizer = make_tokenizer()
        config = Qwen3Config(
            vocab_size=VOCABULARY,
            hidden_size=self.hidden,
            intermediate_size=2 * self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.hidden // 32,
            num_key_value_heads=max(1, self.hidden // 64),
            head_dim=32,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
        )
        torch.manual_seed(0)
        model = Qwen3ForCausalLM(config)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return model


@dataclass(frozen=True)
class Figure:
    """One measurement."""

    tokens_per_s: float
    cpu_ms: float
    """Of the server, for each sampled token."""


async def ask(http: HttpClient, url: str, text: str, rollout: int) -> int:
    """How many tokens were sampled."""
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": ANSWER_LENGTH, "ignore_eos": True}
    headers = {"x-ng-rollout-id": str(rollout)}
    answer = await http.request("POST", f"{url}/v1/chat/completions", json=body, headers=headers, timeout_s=120)
    return len(answer.parse()["choices"][0]["message"]["generation_token_ids"])


async def measure(gym: GymUnderTest, rollouts: itertools.count[int], concurrent: int, group: int) -> Figure:
    """The median of some rounds. `group`: requests with the same prompt."""
    http = HttpClient()
    url = gym.servers[MODEL].url
    assert url is not None
    figures = []
    for _ in range(ROUNDS + 1):
        texts = ["".join(random.choices(string.ascii_letters, k=PROMPT_LENGTH)) for _ in range(concurrent // group)]
        cpu_s, started = gym.cpu_s()[MODEL], time.perf_counter()
        asked = (ask(http, url, text, next(rollouts)) for text in texts for _ in range(group))
        sampled = sum(await asyncio.gather(*asked))
        wall_s = time.perf_counter() - started
        figures.append(Figure(sampled / wall_s, 1000 * (gym.cpu_s()[MODEL] - cpu_s) / sampled))
    await http.close()
    warm = figures[1:]
    return Figure(statistics.median(one.tokens_per_s for one in warm), statistics.mean(one.cpu_ms for one in warm))


def publish_ms(gym: GymUnderTest, model: Qwen3ForCausalLM) -> float:
    """Median time until new weights are served."""
    weights = TorchModelWeights(str(gym.servers[MODEL].url))
    times = []
    for version in range(ROUNDS):
        started = time.perf_counter()
        weights.publish(model.state_dict(), version)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def rows_of(size: Size, folder: Path) -> Sequence[Sequence[str]]:
    model = size.write(folder / "model")
    rollouts = itertools.count()
    rows = []
    with gym_under_test(folder, [f"+config_paths=[{CONFIG}]", "+policy_model_path=model"]) as gym:
        for concurrent in CONCURRENT:
            alone = asyncio.run(measure(gym, rollouts, concurrent, 1))
            grouped = asyncio.run(measure(gym, rollouts, concurrent, GROUP)) if concurrent >= GROUP else None
            together = (f"{grouped.tokens_per_s:,.0f}", f"{grouped.cpu_ms:.2f}") if grouped else ("", "")
            figures = [f"{alone.tokens_per_s:,.0f}", f"{alone.cpu_ms:.2f}", *together]
            rows.append([f"{size.layers} layers of {size.hidden}", str(concurrent), *figures])
        print(f"{size.layers} layers of {size.hidden}: new weights served after {publish_ms(gym, model):.0f} ms")
    return rows


def main() -> None:
    header = ["model", "requests at once", "tokens/s", "CPU ms/token", f"in groups of {GROUP}", "CPU ms/token"]
    rows: list[Sequence[str]] = []
    for size in (Size(2, 64), Size(4, 128)):
        with tempfile.TemporaryDirectory() as folder:
            rows += rows_of(size, Path(folder))
    print(f"{machine()}, one torch thread\n\n{markdown_table(header, rows)}")


if __name__ == "__main__":
    main()
