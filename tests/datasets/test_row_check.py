"""The full check of a task row: each mistake named with its place and the way to mend it."""

from __future__ import annotations

from typing import Any

import pytest

from nemo_gym.datasets.row_check import mistakes_in
from tests.rows import row_asking

CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
USER = {"role": "user", "content": "hi"}


def row_of(*items: Any, **params: Any) -> dict[str, Any]:
    return {"responses_create_params": {"input": list(items), **params}}


def tool(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "name": "look", **fields}


@pytest.mark.parametrize(
    "row",
    [
        {"responses_create_params": {"input": "hi"}, "anything": [1]},
        row_asking("hi", tools=("look",)),
        row_of(),
        row_of(USER, CALL, {"type": "function_call_output", "call_id": "c1", "output": "seen"}),
        row_of(USER, tools=[{"type": "web_search"}, tool(parameters={})]),
        row_of({"type": "item_reference", "id": "x"}, {"type": "function_call_output", "call_id": "?", "output": ""}),
        row_of({"role": "user", "content": [{"type": "input_text", "text": "hi"}]}),
    ],
)
def test_a_good_row_has_no_mistakes(row: dict[str, Any]):
    assert mistakes_in(row) == []


@pytest.mark.parametrize(
    ("row", "mistake"),
    [
        ({"question": "?"}, "no `responses_create_params`; a row looks like"),
        ({"messages": [USER]}, "a chat-format row; move `messages` to `responses_create_params.input`"),
        ({"responses_create_params": {"messages": [USER]}}, "the Responses API calls them `input`"),
        (row_of(USER, {"text": "hi"}), "responses_create_params.input[1].type: an item needs a `type`"),
        (row_of(USER, {"type": "mesage"}), "responses_create_params.input[1].type: `mesage` is no item type"),
        (row_of({"role": "usr", "content": "hi"}), "responses_create_params.input[0].role: Input should be 'user'"),
        (row_of(USER, temperature=-1), "responses_create_params.temperature: Input should be greater than or equal"),
        (row_of(USER, tools=["look"]), "responses_create_params.tools[0]: "),
        (row_of(USER, tools=[{"type": "function"}]), "responses_create_params.tools[0] has no `name`"),
        (row_of(USER, tools=[tool(name="a b")]), "tools[0].name: a tool's name is 1 to 64 letters"),
        (row_of(USER, tools=[tool(name="verify")]), "`verify` is a route of every resources server"),
        (row_of(USER, tools=[tool(), tool()]), "tools[1].name: a second tool `look`"),
        (row_of(USER, tools=[tool(parameters={"type": "string"})]), "has `type: object`, not `string`"),
        (row_of({"type": "function_call_output", "call_id": "c", "output": ""}), "no `function_call` before it"),
        (row_of({"role": "tool", "content": "x"}), "input[0] is a chat message of role `tool`"),
        (row_of({"role": "assistant", "content": None, "tool_calls": [{}]}), "input[0] holds chat `tool_calls`"),
        (row_of({"role": "user", "content": [{"type": "text", "text": "x"}]}), "chat part `text`; here it is `input_"),
        (row_of(USER, tools=[{"type": "function", "function": {"name": "look"}}]), "tools[0] is a chat tool"),
        ({**row_of(USER), "agent_ref": "walker"}, "`agent_ref` must look like"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_to_write(row: dict[str, Any], mistake: str):
    assert any(mistake in found for found in mistakes_in(row)), mistakes_in(row)


def test_a_row_worded_for_chat_is_told_how_to_convert_it():
    assert "+convert_chat=true" in mistakes_in(row_of({"role": "tool", "content": "x", "tool_call_id": "c"}))[0]
