"""Makes a tiny random Qwen3: `python tiny_model.py FOLDER letters|merges [TEXT_FILE...]`, in vLLM's environment.

`letters` has one token a character and ties its embeddings, as many small models do. `merges` has a BPE tokenizer
trained on the text files, all bytes included: what it samples is rarely what a tokenizer makes of the same text.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

CONTEXT = 8192
"""Positions that the model has."""
ALPHABET = [*map(chr, range(33, 127)), "\u0120", "\u010a"]
"""Byte-level names of the printable characters, the space and the newline."""
MERGES = 350
END, START, PADDING = "<|im_end|>", "<|im_start|>", "<|endoftext|>"
CHAT_TEMPLATE = """\
{%- if tools %}{{ '<|im_start|>system\\nTools:' }}\
{%- for tool in tools %}{{ '\\n' + tool.function | tojson }}{% endfor %}{{ '<|im_end|>\\n' }}{% endif %}\
{%- for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}\
{%- if message.reasoning_content %}{{ '<think>\\n' + message.reasoning_content + '\\n</think>\\n' }}{% endif %}\
{%- if message.content is string %}{{ message.content }}\
{%- elif message.content %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}\
{%- for call in message.tool_calls or [] %}{{ '<tool_call>' + call.function | tojson + '</tool_call>' }}{% endfor %}\
{{- '<|im_end|>\\n' }}{% endfor %}\
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% if prefill %}{{ prefill }}{% endif %}{% endif %}"""


def letters() -> Tokenizer:
    """One token a character of printable ASCII: whatever is sampled is text."""
    return Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(ALPHABET)}, merges=[]))


def merges(texts: list[str]) -> Tokenizer:
    """All bytes, and what is frequent in the texts."""
    tokenizer = Tokenizer(models.BPE())
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + MERGES, initial_alphabet=alphabet, special_tokens=[], show_progress=False
    )
    tokenizer.train(texts, trainer)
    return tokenizer


def chat_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """With the special tokens and the chat template."""
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PADDING)
    fast.add_special_tokens({"additional_special_tokens": [START]})
    fast.add_tokens(["<think>", "</think>", "<tool_call>", "</tool_call>"])
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_model(tokenizer: PreTrainedTokenizerFast, *, tied: bool) -> Qwen3ForCausalLM:
    """Two layers, seeded; wide enough that vLLM's attention on a CPU takes it (heads of 32)."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=tied,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.05,
    )
    return Qwen3ForCausalLM(config)


if __name__ == "__main__":
    folder, kind, *texts = sys.argv[1:]
    tokenizer = chat_tokenizer(letters() if kind == "letters" else merges(texts))
    make_model(tokenizer, tied=kind == "letters").save_pretrained(Path(folder))
    tokenizer.save_pretrained(Path(folder))
