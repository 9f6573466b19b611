from __future__ import annotations

from typing import Any

import pytest

from nemo_gym.ledger.conversation import Conversation

Json = dict[str, Any]
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}


def digest(*entries: Json, **settings: object) -> bytes:
    return Conversation.begin(settings).plus(entries).digest


SAME: list[tuple[Json, Json]] = [
    ({"role": "user", "content": "hi"}, {"role": "user", "content": [{"type": "text", "text": "hi"}]}),
    ({"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "assistant", "tool_calls": [CALL]}),
    (
        {"role": "assistant", "tool_calls": [CALL]},
        {
            "role": "assistant",
            "tool_calls": [{**CALL, "function": {"name": "add", "arguments": '{"b":2,"a":1}'}}],
        },
    ),
    (
        {"role": "assistant", "content": "yes", "reasoning_content": "hm"},
        {"role": "assistant", "content": "<think>hm</think>\n\nyes"},
    ),
    (
        {"role": "assistant", "content": "yes", "generation_token_ids": [1], "policy_version": 3},
        {"role": "assistant", "content": "yes"},
    ),
    (
        {"type": "message", "role": "assistant", "id": "msg_1", "content": [{"type": "output_text", "text": "yes"}]},
        {"role": "assistant", "content": "yes"},
    ),
]

OTHER: list[tuple[Json, Json]] = [
    ({"role": "user", "content": "hi"}, {"role": "user", "content": "hi "}),
    ({"role": "user", "content": "hi"}, {"role": "system", "content": "hi"}),
    ({"role": "assistant", "content": "yes", "reasoning_content": "hm"}, {"role": "assistant", "content": "yes"}),
    ({"role": "tool", "tool_call_id": "c1", "content": "3"}, {"role": "tool", "tool_call_id": "c2", "content": "3"}),
    (
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "name": "f", "output": "{}"},
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_an_entry_worded_otherwise_is_the_same_conversation(one: Json, other: Json) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_an_entry_that_says_something_else_is_another_conversation(one: Json, other: Json) -> None:
    assert digest(one) != digest(other)


def test_settings_that_shape_the_prompt_make_another_conversation_and_absent_ones_do_not() -> None:
    hi = {"role": "user", "content": "hi"}
    assert digest(hi, tools=[{"name": "f"}]) != digest(hi)
    assert digest(hi, tools=[], instructions=None) == digest(hi)


def test_a_message_that_is_written_on_is_the_one_with_all_its_text() -> None:
    said: list[Json] = [{"role": "user", "content": "count"}, {"role": "assistant", "content": "one "}]
    grown = Conversation.begin({}).plus(said).written_on("two")
    assert grown.digest == digest(said[0], {"role": "assistant", "content": "one two"})
    assert grown.all()[-1]["content"] == "one two"
    assert said[-1]["content"] == "one "
