"""The demo's tokenizer: byte-pair merges learned on the spot from the demonstrations, and a chat template."""

from __future__ import annotations

import re
from collections.abc import Iterable

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from nemo_gym.training.demo.conversations import Conversation

VOCABULARY_SIZE = 512
"""At most; 256 of them are bytes, so that any text can be told."""

PAD, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TAGS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
"""Parts of what is said, so no special tokens: decoding keeps them."""

PIECES = r"\n| ?[A-Za-z_]+|[0-9]|[^A-Za-z0-9_\n]+"
"""No merge goes beyond a line's end, a word, a digit, or a run of anything else: what a turn says is the same ids
wherever it stands, and what is to be copied is copied id by id."""

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role == "tool" -%}
{{- "" if loop.previtem and loop.previtem.role == "tool" else "<|im_start|>user\n" -}}
{{- "<tool_response>\n" + message.content + "\n</tool_response>" -}}
{{- "\n" if loop.nextitem and loop.nextitem.role == "tool" else "<|im_end|>\n" -}}
{%- else -%}
{{- "<|im_start|>" + message.role + "\n" + (message.content or "") -}}
{%- if loop.first and tools -%}
{{- "\nTools:" -}}
{%- for tool in tools -%}
{{- " " + tool.function.name + "(" + tool.function.parameters.properties | join(", ") + ")" -}}
{%- endfor -%}
{%- endif -%}
{%- for call in message.tool_calls or [] -%}
{%- set arguments = call.function.arguments -%}
{{- "<tool_call>\n" + '{"name": "' + call.function.name + '", "arguments": ' -}}
{{- (arguments if arguments is string else arguments | tojson) + "}\n</tool_call>" -}}
{{- "" if loop.last else "\n" -}}
{%- endfor -%}
{{- "<|im_end|>\n" -}}
{%- endif -%}
{%- endfor -%}
{{- "<|im_start|>assistant\n" if add_generation_prompt else "" -}}
"""
"""Turns and tool calls as Qwen's models write them; tools are told by name and arguments only, to be short."""


def make_tokenizer(conversations: Iterable[Conversation]) -> PreTrainedTokenizerFast:
    """A tokenizer that tells these conversations in few ids, and takes any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - len(TAGS),
        special_tokens=[PAD, TURN_START, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_between_marks(conversations), trainer)
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=TURN_END, pad_token=PAD, clean_up_tokenization_spaces=False
    )
    made.chat_template = CHAT_TEMPLATE
    return made


def _between_marks(conversations: Iterable[Conversation]) -> Iterable[str]:
    """What stands between the marks, which are ids of their own."""
    template = ImmutableSandboxedEnvironment().from_string(CHAT_TEMPLATE)
    marks = re.compile("|".join(map(re.escape, (TURN_START, TURN_END, *TAGS))))
    for one in conversations:
        text = template.render(messages=one.messages, tools=one.tools, add_generation_prompt=False)
        yield from filter(None, marks.split(text))
