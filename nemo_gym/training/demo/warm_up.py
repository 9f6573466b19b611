"""Warm-up: a short supervised training on demonstrations, as reinforcement learning needs a start."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
from torch import nn

from nemo_gym.training.demo.conversations import Tokens

STEPS, BATCH_SIZE = 300, 32
LEARNING_RATE, RISE = 5e-3, 20
"""Reached after so many steps; from then on it falls linearly to a tenth."""


def warm_up(
    model: nn.Module, examples: Sequence[Tokens], *, pad_id: int, seed: int, on_step: Callable[[int, float], None]
) -> float:
    """Maximise the likelihood of what was said; returns the last loss, nats a token. Changes `model`."""
    rng = random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0)
    model.train()
    loss = torch.zeros(())
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / RISE) * (1 - 0.9 * step / STEPS)
        loss = _loss(model, rng.sample(examples, min(BATCH_SIZE, len(examples))), pad_id)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        on_step(step + 1, loss.item())
    return float(loss.item())


def _loss(model: nn.Module, batch: Sequence[Tokens], pad_id: int) -> torch.Tensor:
    longest = max(len(one.ids) for one in batch)
    ids = torch.tensor([one.ids + [pad_id] * (longest - len(one.ids)) for one in batch])
    said = torch.tensor([one.mask + [0] * (longest - len(one.mask)) for one in batch])[:, 1:].bool()
    logits = model(input_ids=ids).logits[:, :-1]
    return nn.functional.cross_entropy(logits[said].float(), ids[:, 1:][said])
