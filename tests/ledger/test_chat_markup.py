"""Chat markup: reasoning, text and tool calls of one text, each in its own field of the message."""

from __future__ import annotations

import json

import pytest

from nemo_gym.ledger.chat_markup import read_chat_markup

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call>'


def calls_of(message: dict) -> list[tuple[str, object]]:
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in message["tool_calls"]]


def test_plain_text_is_the_content_as_it_stands() -> None:
    assert read_chat_markup(" Hi \n", tools_declared=True) == {"role": "assistant", "content": " Hi \n"}


def test_nothing_written_is_empty_content() -> None:
    assert read_chat_markup("", tools_declared=True) == {"role": "assistant", "content": ""}


def test_reasoning_text_and_calls_are_told_apart() -> None:
    message = read_chat_markup(f"<think>\nTwo.\n</think>\n\nAdding.\n{CALL}\n{CALL}", tools_declared=True)
    assert message["reasoning_content"] == "Two."
    assert message["content"] == "Adding."
    assert calls_of(message) == [("add", {"a": 2}), ("add", {"a": 2})]
    assert len({call["id"] for call in message["tool_calls"]}) == 2


def test_a_call_alone_leaves_no_content() -> None:
    assert read_chat_markup(CALL, tools_declared=True)["content"] is None


def test_text_on_both_sides_of_a_call_is_kept() -> None:
    assert read_chat_markup(f"Before {CALL} after", tools_declared=True)["content"] == "Before\nafter"


def test_letters_beyond_ascii_stay_what_they_are_in_arguments() -> None:
    message = read_chat_markup('<tool_call>{"name": "say", "arguments": {"t": "çå"}}</tool_call>', tools_declared=True)
    assert message["tool_calls"][0]["function"]["arguments"] == '{"t": "çå"}'


@pytest.mark.parametrize(
    "written",
    [
        '<tool_call>{"name": "add", "arguments": {</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>',
        CALL + '<tool_call>{"name": "add"',
        CALL + "<tool_call>no JSON</tool_call>",
    ],
)
def test_one_call_that_cannot_be_read_leaves_all_as_text(written: str) -> None:
    assert read_chat_markup(written, tools_declared=True) == {"role": "assistant", "content": written}


def test_without_tools_a_call_is_text() -> None:
    assert read_chat_markup(CALL, tools_declared=False) == {"role": "assistant", "content": CALL}


def test_calls_inside_the_reasoning_are_reasoning() -> None:
    message = read_chat_markup(f"<think>{CALL}</think>No.", tools_declared=True)
    assert (message["reasoning_content"], message["content"]) == (CALL, "No.")
    assert "tool_calls" not in message
