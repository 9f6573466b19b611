"""Tensors of a batch, as `GRPOTrainer` computes its loss on: prompts padded on the left, completions on the right."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from trl import GRPOTrainer
from trl.trainer.utils import pad, use_adapter

from nemo_gym.training.groups import FloatArray
from nemo_gym.training.trl.own_generation import eos_id_of
from nemo_gym.training.trl.rollout import TokenSequence

Tensors = dict[str, torch.Tensor]


def tensors_of(trainer: GRPOTrainer, sequences: Sequence[TokenSequence]) -> Tensors:
    """[S, …] tensors of all sequences, but for those that the trainer computes."""
    device, pad_id = trainer.accelerator.device, trainer._tokenizer.pad_token_id
    keep = [_is_kept(trainer, one) for one in sequences]

    def padded(rows: Sequence[Sequence[float | None]], fill: float, side: str, dtype: torch.dtype) -> torch.Tensor:
        numbers = [[float("nan") if one is None else one for one in row] for row in rows]
        tensors = [torch.tensor(row, dtype=dtype) for row in numbers]
        multiple = trainer.pad_to_multiple_of
        dense: torch.Tensor = pad(tensors, padding_value=fill, padding_side=side, pad_to_multiple_of=multiple)
        return dense.to(device)

    long, single = torch.long, torch.float32
    tensors = {
        "prompt_ids": padded([one.prompt_ids for one in sequences], pad_id, "left", long),
        "prompt_mask": padded([[1] * len(one.prompt_ids) for one in sequences], 0, "left", long),
        "completion_ids": padded([one.completion_ids for one in sequences], pad_id, "right", long),
        "completion_mask": padded(
            [[int(kept)] * len(one.completion_ids) for one, kept in zip(sequences, keep, strict=True)], 0, "right", long
        ),
        "tool_mask": padded(
            [[bit * kept for bit in one.mask] for one, kept in zip(sequences, keep, strict=True)], 1, "right", long
        ),
        "sampling_per_token_logps": padded([one.log_probs for one in sequences], 0.0, "right", single),
    }
    trained = (tensors["completion_mask"] * tensors["tool_mask"]).sum()
    return {**tensors, "num_items_in_batch": trainer.accelerator.gather(trained).sum()}


def padded_advantages(advantages: Sequence[FloatArray], like: torch.Tensor) -> torch.Tensor:
    """[S] arrays [C] → [S, T], zero beyond."""
    dense = torch.zeros(like.shape, dtype=torch.float32, device=like.device)
    for row, values in zip(dense, advantages, strict=True):
        row[: len(values)] = torch.as_tensor(values, dtype=torch.float32)
    return dense


def policy_log_probs(trainer: GRPOTrainer, tensors: Tensors) -> torch.Tensor:
    """[S, T] of the weights that are trained, as they are now."""
    return _log_probs(trainer, trainer.model, tensors)


def reference_log_probs(trainer: GRPOTrainer, tensors: Tensors) -> torch.Tensor:
    """[S, T] of the reference model, or of the base model below an adapter."""
    if trainer.ref_model is not None:
        return _log_probs(trainer, trainer.ref_model, tensors)
    base = trainer.accelerator.unwrap_model(trainer.model)
    with use_adapter(base, adapter_name="ref" if "ref" in base.peft_config else None):
        return _log_probs(trainer, trainer.model, tensors)


def _log_probs(trainer: GRPOTrainer, model: torch.nn.Module, tensors: Tensors) -> torch.Tensor:
    with torch.no_grad():
        log_probs: torch.Tensor = trainer._get_per_token_logps_and_entropies(
            model,
            torch.cat([tensors["prompt_ids"], tensors["completion_ids"]], dim=1),
            torch.cat([tensors["prompt_mask"], tensors["completion_mask"]], dim=1),
            tensors["completion_ids"].size(1),
            batch_size=trainer.args.per_device_train_batch_size,
        )[0]
    return log_probs


def _is_kept(trainer: GRPOTrainer, sequence: TokenSequence) -> bool:
    """False where `mask_truncated_completions` leaves a completion out that does not end by itself."""
    ends = (*trainer.eos_token_ids, trainer._tokenizer.pad_token_id, eos_id_of(trainer))
    return not trainer.mask_truncated_completions or sequence.completion_ids[-1] in ends
