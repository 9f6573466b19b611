"""Weights as they arrive: a safetensors file's bytes, or a folder that holds such files."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file

from nemo_gym.errors import WeightUpdateError


def read_weights(source: bytes | Path) -> dict[str, torch.Tensor]:
    """Tensors by name, on the CPU. Raises `WeightUpdateError` where there are none."""
    if isinstance(source, bytes):
        if not source:
            raise WeightUpdateError("no weights came: send a safetensors file's bytes as the body, or name a `path`")
        try:
            sent: dict[str, torch.Tensor] = load(source)
        except SafetensorError as error:
            raise WeightUpdateError(f"the body is no safetensors file: {error}") from error
        return sent
    files = sorted(source.glob("*.safetensors"))
    if not files:
        raise WeightUpdateError(f"{source}: no *.safetensors lies there")
    weights: dict[str, torch.Tensor] = {}
    for file in files:
        try:
            weights |= load_file(file)
        except (OSError, SafetensorError) as error:
            raise WeightUpdateError(f"{file}: cannot be read: {error}") from error
    return weights
