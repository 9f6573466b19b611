"""Chat-format rows become task rows that pass the check."""

from __future__ import annotations

from typing import Any

import pytest

from nemo_gym.datasets.chat_rows import from_chat
from nemo_gym.datasets.row_check import mistakes_in
from nemo_gym.errors import ConversionError

CHAT_TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object"}}
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "What is there?"}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "a lamp"},
]
ITEMS = [
    {"type": "message", "role": "system", "content": "Be brief."},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is there?"}]},
    {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}", "status": "completed"},
    {"type": "function_call_output", "call_id": "c1", "output": "a lamp"},
]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": MESSAGES, "tools": [CHAT_TOOL], "temperature": 0.5, "answer": "a lamp", "seed": 3},
        {
            "responses_create_params": {"messages": MESSAGES, "tools": [CHAT_TOOL], "temperature": 0.5},
            "answer": "a lamp",
            "seed": 3,
        },
        {
            "responses_create_params": {"input": MESSAGES, "tools": [CHAT_TOOL], "temperature": 0.5},
            "answer": "a lamp",
            "seed": 3,
        },
        {
            "messages": MESSAGES,
            "responses_create_params": {"tools": [TOOL], "temperature": 0.5},
            "answer": "a lamp",
            "seed": 3,
        },
    ],
    ids=["row", "params", "items", "messages beside params"],
)
def test_every_chat_form_becomes_the_same_task_row(row: dict[str, Any]):
    converted, was_chat = from_chat(row)
    assert was_chat
    assert mistakes_in(converted) == []
    assert converted == {
        "responses_create_params": {"input": ITEMS, "tools": [TOOL], "temperature": 0.5},
        "answer": "a lamp",
        "seed": 3,
    }


def test_a_task_row_stays_as_it_is():
    row = {"responses_create_params": {"input": [{"role": "user", "content": "hi"}], "tools": [TOOL]}, "a": 1}
    assert from_chat(row) == (row, False)
    assert from_chat({"a": 1}) == ({"a": 1}, False)


def test_what_is_no_chat_request_is_refused_with_its_place():
    with pytest.raises(ConversionError, match=r"messages\[0\].role"):
        from_chat({"messages": [{"role": "robot", "content": "hi"}]})
