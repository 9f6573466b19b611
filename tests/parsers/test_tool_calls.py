import json

import pytest

from nemo_gym.parsers.tool_calls import (
    SHOWN_CHARACTERS,
    TextToolCall,
    UnreadableToolCall,
    fenced_tool_calls,
    hermes_tool_calls,
)

CALL = TextToolCall("add", {"a": 1})


def test_calls_are_read_from_hermes_tags_in_order() -> None:
    text = (
        'I add.<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call> and '
        '<tool_call>{"name": "end"}</tool_call>'
    )
    assert hermes_tool_calls(text) == [CALL, TextToolCall("end", {})]


def test_arguments_may_be_json_text_or_named_parameters() -> None:
    for call in ({"name": "add", "arguments": '{"a": 1}'}, {"name": "add", "parameters": {"a": 1}}):
        assert hermes_tool_calls(f"<tool_call>{json.dumps(call)}</tool_call>") == [CALL]


def test_calls_are_read_from_fenced_json_and_not_from_other_code() -> None:
    text = '```json\n{"name": "add", "arguments": {"a": 1}}\n```\n```python\nadd(1)\n```'
    assert fenced_tool_calls(text) == [CALL]
    assert fenced_tool_calls(text, "call") == []


def test_a_text_without_calls_has_none() -> None:
    assert hermes_tool_calls("The sum is 3. </tool_call>") == []
    assert fenced_tool_calls("The sum is 3.") == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is no JSON"),
        ("add(1)", "is no JSON"),
        ('{"name": "add", "arguments": {"a": NaN}}', "NaN is no JSON"),
        ("[" * 50_000, "nested too deep"),
        ('["add"]', "is no JSON object"),
        ('{"arguments": {}}', "has no `name`"),
        ('{"name": 7}', "has no `name`"),
        ('{"name": "add", "arguments": [1]}', "`arguments` is no object"),
        ('{"name": "add", "arguments": null}', "`arguments` is no object"),
        ('{"name": "add", "arguments": "a=1"}', "`arguments` is text that is no JSON"),
    ],
)
def test_an_unreadable_call_says_what_is_wrong_and_shows_its_beginning(content: str, problem: str) -> None:
    [call] = hermes_tool_calls(f"<tool_call>{content}</tool_call>")
    assert isinstance(call, UnreadableToolCall)
    assert problem in call.problem
    assert len(call.text) <= SHOWN_CHARACTERS


def test_a_last_call_that_is_not_closed_is_unreadable() -> None:
    text = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call><tool_call>{"name":'
    assert hermes_tool_calls(text) == [
        CALL,
        UnreadableToolCall('{"name":', "<tool_call> is not closed by </tool_call>"),
    ]
