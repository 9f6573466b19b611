"""Makes a tiny random Qwen3 with a tokenizer of one token a character: `python tiny_policy.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

CONTEXT = 2048
END, START, PADDING = "<|im_end|>", "<|im_start|>", "<|endoftext|>"
ALPHABET = [*map(chr, range(33, 127)), "\u0120", "\u010a"]
"""Byte-level names of the printable characters, the space and the newline."""
CHAT_TEMPLATE = """\
{%- if tools %}{{ '<|im_start|>system\\nTools:' }}\
{%- for tool in tools %}{{ '\\n' + tool.function | tojson }}{% endfor %}{{ '<|im_end|>\\n' }}{% endif %}\
{%- for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + (message.content or '') }}\
{%- for call in message.tool_calls or [] %}{{ '<tool_call>' + call.function | tojson + '</tool_call>' }}{% endfor %}\
{{- '<|im_end|>\\n' }}{% endfor %}\
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% if prefill %}{{ prefill }}{% endif %}{% endif %}"""


def make_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(ALPHABET)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PADDING)
    fast.add_special_tokens({"additional_special_tokens": [START]})
    fast.add_tokens(["<think>", "</think>", "<tool_call>", "</tool_call>"])
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_model(tokenizer: PreTrainedTokenizerFast, *, seed: int = 0, tied: bool = True) -> Qwen3ForCausalLM:
    """Random weights by seed, spread wide enough that distributions are far from flat."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=tied,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.1,
    )
    return Qwen3ForCausalLM(config).eval().requires_grad_(False)


def write_policy(folder: Path, *, seed: int = 0, tied: bool = True) -> Path:
    """Write model and tokenizer into the folder, and return it."""
    tokenizer = make_tokenizer()
    make_model(tokenizer, seed=seed, tied=tied).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    write_policy(Path(sys.argv[1]))
