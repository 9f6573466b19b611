"""SkyRL's own trainer without its workers: everything it does between a generator's output and advantages."""

# ruff: noqa: E402 - SkyRL is imported where it is installed, and in a certain way

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import typing_extensions

WHY = "needs SkyRL and what its trainer imports: make test-training"
pytest.importorskip("torch", reason=WHY)
pytest.importorskip("ray", reason=WHY)
pytest.importorskip("skyrl", reason=WHY)

# On Python 3.11 pydantic takes only this kind, and a package that SkyRL's trainer imports on its way uses the other.
with patch("typing.TypedDict", typing_extensions.TypedDict):
    import skyrl.tinker.types  # noqa: F401

from skyrl.backends.skyrl_train.inference_servers.engine_utils import get_sampling_params_for_backend
from skyrl.train.config import SamplingParams, SkyRLTrainConfig
from skyrl.train.dataset import PromptDataset
from skyrl.train.generators.utils import prepare_generator_input
from skyrl.train.trainer import RayPPOTrainer

PAD = 0
EOS = 7
ALL = [
    {"credit": "final"},
    {"credit": "turn"},
    {"credit": "final", "step_wise": True},
    {"credit": "turn", "step_wise": True},
    {"credit": "return_to_go", "step_wise": True},
    {"credit": "turn_as_trajectory", "step_wise": True},
]
each_option = pytest.mark.parametrize("options", ALL, ids=lambda each: "-".join(map(str, each.values())))


class Tokenizer:
    """What SkyRL asks a tokenizer for: one id a character."""

    pad_token_id = PAD

    def apply_chat_template(self, messages: list[dict[str, str]], **options: Any) -> list[int]:
        return [ord(sign) for message in messages for sign in f"{message['role']}: {message['content']}\n"]

    def decode(self, ids: list[int], **options: Any) -> str:
        return " ".join(map(str, ids))


class Prepared:
    """A generator whose output was made before."""

    def __init__(self, output: Any) -> None:
        self.output = output

    async def generate(self, input_batch: Any) -> Any:
        return self.output


def prompts_in(path: Path) -> list[Any]:
    """All of a dataset file, as SkyRL's own dataset gives them."""
    dataset = PromptDataset(str(path), Tokenizer(), max_prompt_length=100_000, num_workers=1)
    return dataset.collate_fn([dataset[index] for index in range(len(dataset))])


def batch_for(prompts: list[Any], num_samples: int) -> tuple[Any, list[str]]:
    """SkyRL's input for a generator, with its sampling parameters, and the group of each prompt."""
    params = SamplingParams(temperature=0.7, top_p=0.95, max_generate_length=256)
    sampling = get_sampling_params_for_backend("vllm", params)
    return prepare_generator_input(prompts, num_samples, sampling, "gym", "train", 1)


def config_of(num_prompts: int, num_samples: int, *, step_wise: bool = False, **algorithm: Any) -> SkyRLTrainConfig:
    config = SkyRLTrainConfig()
    config.generator.step_wise_trajectories = step_wise
    config.generator.n_samples_per_prompt = config.generator.eval_n_samples_per_prompt = num_samples
    config.trainer.train_batch_size = config.trainer.policy_mini_batch_size = num_prompts
    config.trainer.print_example_interval = 0
    for name, value in algorithm.items():
        setattr(config.trainer.algorithm, name, value)
    return config


def trainer_of(config: SkyRLTrainConfig, generator: Any, kind: type[RayPPOTrainer] = RayPPOTrainer) -> RayPPOTrainer:
    """Its constructor would start workers on GPUs; no method called here needs them."""
    trainer = kind.__new__(kind)
    trainer.cfg = config
    trainer.tokenizer = Tokenizer()
    trainer.generator = generator
    trainer.dispatch = SimpleNamespace(get_lcm_dp_size=lambda: 1)
    trainer.all_metrics, trainer.all_timings = {}, defaultdict(float)
    return trainer


async def learned_from(trainer: RayPPOTrainer, input_batch: Any, uids: list[str]) -> Any:
    """The batch of tensors with advantages, by the steps of SkyRL's training loop."""
    output = await trainer.generate(input_batch)
    if trainer.cfg.generator.step_wise_trajectories:
        uids = [each.instance_id for each in output["trajectory_ids"]]
    output, uids = trainer.postprocess_generator_output(output, uids)
    batch = trainer.convert_to_training_input(output, uids)
    batch["values"] = None
    return trainer.compute_advantages_and_returns(batch)
