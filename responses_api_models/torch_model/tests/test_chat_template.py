"""Chat requests as prompt ids, sampled ids as messages."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the training extras: make test-training")

from responses_api_models.torch_model.chat_template import ChatTemplate
from responses_api_models.torch_model.tests.tiny_policy import END, START, make_tokenizer

pytestmark = pytest.mark.training

TOKENIZER = make_tokenizer()
TEMPLATE = ChatTemplate(TOKENIZER, frozenset({TOKENIZER.eos_token_id}))
CALL = '<tool_call>{"name": "look", "arguments": {"code": "red"}}</tool_call>'


def worded(*messages: dict[str, Any], **settings: Any) -> str:
    return TEMPLATE.decode(TEMPLATE.render({"messages": list(messages), **settings}))


def read(text: str, *stops: str, tools_declared: bool = True) -> dict[str, Any]:
    return TEMPLATE.read(TEMPLATE.encode(text), stops, tools_declared=tools_declared)


def test_a_prompt_ends_where_the_answer_begins() -> None:
    assert worded({"role": "user", "content": "Hi"}) == f"{START}user\nHi{END}\n{START}assistant\n"


def test_a_prompt_may_end_with_the_last_message() -> None:
    assert worded({"role": "user", "content": "Hi"}, add_generation_prompt=False) == f"{START}user\nHi{END}\n"


def test_a_message_may_be_gone_on_with() -> None:
    said = {"role": "assistant", "content": "I say"}
    prompt = worded({"role": "user", "content": "Hi"}, said, continue_final_message=True)
    assert prompt.endswith(f"{START}assistant\nI say")


def test_text_in_parts_is_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert f"{START}user\nab{END}" in worded({"role": "user", "content": parts})


def test_a_developer_is_the_system_where_the_template_knows_no_developer() -> None:
    assert f"{START}system\nBe brief{END}" in worded({"role": "developer", "content": "Be brief"})


def test_arguments_of_calls_reach_the_template_as_objects() -> None:
    function = {"name": "look", "arguments": '{"code": "red"}'}
    message = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": function}]}
    assert '"arguments": {"code": "red"}' in worded({"role": "user", "content": "Hi"}, message)


def test_arguments_that_are_no_json_stay_as_they_are() -> None:
    function = {"name": "look", "arguments": "{red"}
    message = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": function}]}
    assert '"arguments": "{red"' in worded({"role": "user", "content": "Hi"}, message)


def test_what_the_template_cannot_word_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="the chat template cannot word these messages"):
        worded({"role": "user", "content": {"no": "text"}})


def test_what_was_sampled_is_read_without_its_end() -> None:
    assert read(f"Hello{END}") == {"role": "assistant", "content": "Hello"}


def test_reasoning_and_calls_are_read() -> None:
    message = read(f"<think>\nred?\n</think>\n{CALL}{END}")
    assert message["reasoning_content"] == "red?"
    [call] = message["tool_calls"]
    assert call["function"] == {"name": "look", "arguments": '{"code": "red"}'}
    assert message["content"] is None


def test_calls_are_text_where_no_tool_was_declared() -> None:
    assert read(CALL, tools_declared=False)["content"] == CALL


def test_text_ends_before_the_first_stop_string() -> None:
    assert read("one two three", "three", "wo")["content"] == "one t"


def test_log_probs_are_told_token_by_token() -> None:
    told = TEMPLATE.logprobs(TEMPLATE.encode("ab"), [-1.0, -2.0])["content"]
    assert [(one["token"], one["logprob"], one["bytes"]) for one in told] == [("a", -1.0, [97]), ("b", -2.0, [98])]
