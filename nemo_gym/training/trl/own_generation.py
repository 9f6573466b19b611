"""The trainer's own generation: completions sampled by the model that is trained, without a model server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trl import GRPOTrainer

from nemo_gym.training.trl.prompts import Prompt, without_task_row
from nemo_gym.training.trl.rollout import TokenSequence, sampled_sequence


def generate(trainer: GRPOTrainer, prompts: Sequence[Prompt]) -> list[TokenSequence]:
    """One completion of each prompt, by the trainer's own means and settings."""
    plain = [without_task_row(prompt) for prompt in prompts]
    prompt_ids, images, multimodal = trainer._tokenize_prompts(plain)
    # Each prompt stands for itself here: none is to be sampled several times at once.
    completions, log_probs = trainer._generate_single_turn(prompt_ids, images, multimodal, 1)
    known: Sequence[Any] = [None] * len(completions) if log_probs is None else log_probs
    return [
        sampled_sequence([*prompt], [*completion], one, eos_id_of(trainer))
        for prompt, completion, one in zip(prompt_ids, completions, known, strict=True)
    ]


def text_of(trainer: GRPOTrainer, sequence: TokenSequence) -> str:
    """What was generated."""
    sampled = [token for token, trained in zip(sequence.completion_ids, sequence.mask, strict=True) if trained]
    text: str = trainer.processing_class.batch_decode([sampled], skip_special_tokens=True)[0]
    return text


def prompt_ids_of(trainer: GRPOTrainer, prompt: Prompt) -> list[int]:
    """The prompt by the trainer's chat template; for prompts of which nothing was sampled."""
    ids: list[int] = trainer._tokenize_prompts([without_task_row(prompt)])[0][0]
    return [*ids]


def eos_id_of(trainer: GRPOTrainer) -> int:
    """The id that ends a completion."""
    eos_id: int = trainer._tokenizer.eos_token_id
    return eos_id
