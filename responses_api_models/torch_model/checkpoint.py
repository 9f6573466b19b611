"""A model as a Hugging Face folder holds it: weights, tokenizer, template, ends; and it again with new weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from nemo_gym.errors import LaunchError, WeightUpdateError

SHOWN_NAMES = 5
FULL_ATTENTION = "full_attention"


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds."""

    model: PreTrainedModel
    """In evaluation mode, on its device, without gradients."""
    tokenizer: PreTrainedTokenizerBase
    end_ids: frozenset[int]
    """Ids that end an answer: those of the generation config and the tokenizer's end of sequence."""
    context_length: int
    """Positions that the model has, or as far as its layers see, if that is less."""

    @classmethod
    def load(cls, folder: str, *, device: str, dtype: str) -> Checkpoint:
        """Raises `LaunchError` where the folder does not hold a model that can be served here."""
        if not (Path(folder) / "config.json").is_file():
            raise LaunchError(f"`model_path` is {folder}: no config.json lies there; it must be a Hugging Face folder")
        disable_progress_bar()  # a server's log is no terminal
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=getattr(torch, dtype),
                attn_implementation="sdpa",
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise LaunchError(f"{folder}: cannot be loaded as a causal language model: {error}") from error
        if not tokenizer.chat_template:
            raise LaunchError(f"{folder}: the tokenizer has no chat template; add chat_template.jinja to the folder")
        _check_attention(folder, model)
        model = model.to(device).eval().requires_grad_(False)
        return cls(model, tokenizer, _end_ids(folder, model, tokenizer), _context_length(folder, model))


def with_weights(model: PreTrainedModel, tensors: Mapping[str, torch.Tensor]) -> PreTrainedModel:
    """A copy of the model with these weights, named as in its state dict. Raises `WeightUpdateError` where they differ.

    A weight that the model shares between two names may be given by either, or by both if they are equal.
    """
    expected = model.state_dict()
    shared = _shared_names(expected)
    _check_names(expected, tensors, shared)
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            wanted, given = list(expected[name].shape), list(tensor.shape)
            raise WeightUpdateError(f"`{name}` has shape {given}; the model's has {wanted}")
        if not tensor.is_floating_point():
            raise WeightUpdateError(f"`{name}` is of type {tensor.dtype}: weights must be floating-point numbers")
        if not torch.isfinite(tensor).all():
            raise WeightUpdateError(f"`{name}` holds values that are not finite")
        for other in shared[name]:
            if other in tensors and not torch.equal(tensors[other], tensor):
                raise WeightUpdateError(f"`{name}` and `{other}` are one weight in this model, but differ; untie them")
    changed = copy.deepcopy(model)
    own = changed.state_dict()
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
    return changed


def _check_names(
    expected: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], shared: Mapping[str, set[str]]
) -> None:
    missing = [name for name in expected if name not in tensors and not shared[name] & tensors.keys()]
    unknown = [name for name in tensors if name not in expected]
    problems = []
    if missing:
        problems.append(f"{len(missing)} weights of the model are missing: {_shown(missing)}")
    if unknown:
        problems.append(f"{len(unknown)} are none of the model's: {_shown(unknown)}")
    if problems:
        raise WeightUpdateError("; ".join(problems))


def _shared_names(state: Mapping[str, torch.Tensor]) -> dict[str, set[str]]:
    """For each name the others under which the same memory is known."""
    by_memory: dict[tuple[int, torch.Size], set[str]] = {}
    for name, tensor in state.items():
        by_memory.setdefault((tensor.data_ptr(), tensor.shape), set()).add(name)
    return {name: by_memory[tensor.data_ptr(), tensor.shape] - {name} for name, tensor in state.items()}


def _check_attention(folder: str, model: PreTrainedModel) -> None:
    """Refuse layers that see less than all before them, or keep a state: the cache here knows neither."""
    kinds = set(getattr(model.config, "layer_types", None) or [FULL_ATTENTION])
    if kinds != {FULL_ATTENTION} or getattr(model.config, "use_sliding_window", False):
        others = ", ".join(sorted(kinds - {FULL_ATTENTION})) or "a sliding window"
        raise LaunchError(f"{folder}: the model has layers with {others}; torch_model serves full attention only")


def _context_length(folder: str, model: PreTrainedModel) -> int:
    positions: int | None = getattr(model.config, "max_position_embeddings", None)
    if positions is None:
        raise LaunchError(f"{folder}: config.json has no `max_position_embeddings`")
    # Where all layers have one window, the configuration names no kinds of layers; up to its size they see everything.
    window: int | None = getattr(model.config, "sliding_window", None)
    all_have_it = window is not None and not getattr(model.config, "layer_types", None)
    return min(positions, window) if window is not None and all_have_it else positions


def _end_ids(folder: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    config: Any = model.generation_config or GenerationConfig()
    given = [config.eos_token_id, tokenizer.eos_token_id]
    flat = [token for one in given for token in (one if isinstance(one, list) else [one]) if token is not None]
    if not flat:
        raise LaunchError(f"{folder}: neither the generation config nor the tokenizer names an end-of-sequence token")
    return frozenset(flat)


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(f"`{name}`" for name in names[:SHOWN_NAMES]) + more
