"""The demo's model: a Qwen3 of a few hundred thousand parameters, with random weights."""

from __future__ import annotations

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

MAX_LENGTH = 512
"""Ids of a prompt with its answer."""


def make_model(tokenizer: PreTrainedTokenizerFast, num_layers: int, seed: int) -> Qwen3ForCausalLM:
    """Random weights from the seed, for this tokenizer. Embeddings are untied, so that vLLM can reload them."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=num_layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,  # the least that vLLM serves on a CPU
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=False,
        initializer_range=0.1,  # large, as the model is small: it learns to copy in a few hundred steps
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return Qwen3ForCausalLM(config)
