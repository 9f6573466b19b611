"""Responses API shapes: what is kept, what is refused and how, and that OpenAI's own classes agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response as OpenAIResponse
from pydantic import TypeAdapter, ValidationError

from nemo_gym.schemas.episode import BaseMultiRewardVerifyResponse, BaseVerifyResponse
from nemo_gym.schemas.for_training import FOR_TRAINING
from nemo_gym.schemas.responses import (
    EasyInputMessage,
    FunctionCall,
    HostedToolItem,
    OutputItem,
    OutputMessage,
    Response,
    ResponseCreateParams,
)
from nemo_gym.schemas.validation import explain
from tests.rows import call, message, response_of, response_saying, row_asking

FIXTURES = Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "nemo_gym"
RECORDED = sorted(FIXTURES.glob("*/*rollouts.jsonl")) + sorted(FIXTURES.glob("*/recorded.jsonl"))


def mistakes(model: Any, data: object) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    return explain(caught.value)


def assert_kept(given: Any, got: Any, place: str = "") -> None:
    """Everything that was given is there; defaults may have been added, parameters set to nothing left out."""
    if isinstance(given, dict):
        for key, value in given.items():
            if not value and key not in got and (place.startswith(".responses_create_params") or ".tools[" in place):
                continue
            assert key in got, f"{place}.{key} was dropped"
            assert_kept(value, got[key], f"{place}.{key}")
    elif isinstance(given, list):
        assert len(given) == len(got), place
        for index, (one, other) in enumerate(zip(given, got, strict=True)):
            assert_kept(one, other, f"{place}[{index}]")
    else:
        assert given == got, place


@pytest.mark.skipif(not RECORDED, reason="no recorded rollouts beside this checkout")
def test_recorded_rollouts_lose_nothing() -> None:
    for path in RECORDED:
        for line in path.read_text().splitlines():
            given_row = json.loads(line)
            assert_kept(given_row, json.loads(BaseVerifyResponse.model_validate(given_row).model_dump_json()))


@pytest.mark.skipif(not RECORDED, reason="no recorded rollouts beside this checkout")
def test_recorded_answers_are_read_alike_by_openais_classes() -> None:
    for path in RECORDED:
        for line in path.read_text().splitlines():
            response = json.loads(line)["response"]
            ours, theirs = Response.model_validate(response), OpenAIResponse.model_construct(**response)
            assert ours.id == theirs.id
            assert [item.type for item in ours.output] == [item["type"] for item in response["output"]]


def test_an_answer_of_ours_is_valid_for_openais_classes() -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
    item = {**message("hi"), "id": "msg_1"}
    ours = Response.model_validate(response_of(reasoning, call("look"), item))
    theirs = OpenAIResponse.model_validate_json(ours.model_dump_json())
    assert theirs.output_text == ours.output_text == "hi"
    assert [type(one).__name__ for one in theirs.output] == [
        "ResponseReasoningItem",
        "ResponseFunctionToolCall",
        "ResponseOutputMessage",
    ]


def test_an_item_with_a_role_and_no_type_is_a_message() -> None:
    params = ResponseCreateParams.model_validate(row_asking("hi")["responses_create_params"])
    assert isinstance(params.input, list) and isinstance(params.input[0], EasyInputMessage)
    assert params.input[0].type == "message"


def test_an_assistant_message_with_parts_is_one_that_a_model_wrote() -> None:
    item = TypeAdapter(OutputItem).validate_python(message("hi"))
    assert isinstance(item, OutputMessage) and item.text == "hi"


def test_an_items_own_type_is_kept() -> None:
    item = TypeAdapter(OutputItem).validate_python({"type": "web_search_call", "id": "ws_1", "action": {"q": "x"}})
    assert isinstance(item, HostedToolItem)
    assert item.model_dump()["action"] == {"q": "x"}


@pytest.mark.parametrize(
    ("item", "line"),
    [
        ({"type": "mystery"}, "input[1].type: `mystery` is no item type"),
        ({"text": "x"}, "input[1].type: an item needs a `type`"),
        ({"type": 3}, "input[1].type: an item needs a `type`"),
        ("words", "input[1].type: an item needs a `type`"),
        ({"role": "user"}, "input[1].content: Field required"),
        ({"role": "wizard", "content": "x"}, "input[1].role: Input should be 'user'"),
        ({"type": "function_call", "name": "x", "arguments": "{}"}, "input[1].call_id: Field required"),
    ],
)
def test_a_bad_item_gets_one_error_that_names_its_place(item: object, line: str) -> None:
    data = {"input": [{"role": "user", "content": "hi"}, item]}
    found = mistakes(ResponseCreateParams, data)
    assert len(found) == 1 and found[0].startswith(line)


def test_input_that_is_neither_text_nor_list_is_refused() -> None:
    assert mistakes(ResponseCreateParams, {"input": 3}) == ["input: Input should be a valid list"]


def test_parameters_that_openai_lacks_are_kept() -> None:
    params = ResponseCreateParams.model_validate({"input": "hi", "top_k": 5, "seed": 1})
    assert params.model_dump(exclude_unset=True) == {"input": "hi", "top_k": 5, "seed": 1}


def test_text_and_calls_of_an_answer_are_at_hand() -> None:
    response = Response.model_validate(response_of(message("a"), call("look"), message("b")))
    assert response.output_text == "ab"
    assert [one.name for one in response.function_calls] == ["look"]


def test_token_fields_come_back_unchanged_and_are_absent_where_not_given() -> None:
    tokens = {"prompt_token_ids": [1, 2], "generation_token_ids": [3], "generation_log_probs": [-0.5]}
    with_tokens, without = (
        TypeAdapter(OutputItem).validate_python(one) for one in ({**call("x"), **tokens}, call("x"))
    )
    assert isinstance(with_tokens, FunctionCall) and isinstance(without, FunctionCall)
    assert with_tokens.model_dump().items() >= tokens.items()
    assert not without.model_dump().keys() & tokens.keys()


@pytest.mark.parametrize(
    "tokens",
    [
        {"prompt_token_ids": [1]},
        {"prompt_token_ids": [1], "generation_token_ids": [2]},
        {"prompt_token_ids": [1], "generation_token_ids": [2, 3], "generation_log_probs": [-1.0]},
    ],
)
def test_token_fields_are_all_three_or_none_and_of_one_length(tokens: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(OutputItem).validate_python({**message("x"), **tokens})


def test_reward_components_must_sum_to_the_reward() -> None:
    row = {**row_asking("x"), "response": response_saying("y"), "reward": 2.0}
    good = BaseMultiRewardVerifyResponse.model_validate({**row, "reward_components": {"a": 0.5, "b": 1.5}})
    assert good.reward == 2.0
    assert mistakes(BaseMultiRewardVerifyResponse, {**row, "reward_components": {"a": 1.0}}) == [
        "reward_components sum to 1.0, reward is 2.0: they must be equal"
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["type", "role", "content"]), inner)
        ),
        max_leaves=12,
    )
)
def test_whatever_stands_for_an_item_is_read_or_refused_in_plain_lines(item: object) -> None:
    try:
        ResponseCreateParams.model_validate({"input": [item]})
    except ValidationError as error:
        assert all(line.startswith("input[0]") for line in explain(error))


def test_a_request_leaves_out_what_nobody_set() -> None:
    params = ResponseCreateParams.model_validate(row_asking("hi", ("look",))["responses_create_params"])
    tool = {"type": "function", "name": "look", "parameters": {"type": "object"}}
    item = {"type": "message", "role": "user", "content": "hi"}
    assert params.model_dump() == {"input": [item], "tools": [tool]}
    assert ResponseCreateParams(input="hi", tools=[]).model_dump() == {"input": "hi"}


def test_a_tool_of_a_request_reads_like_the_dict_it_was_sent_as() -> None:
    sent = {"type": "function", "name": "look", "parameters": {"type": "object"}, "cache": True}
    [tool] = ResponseCreateParams(input="hi", tools=[sent]).tools  # type: ignore[list-item]
    assert {**tool} == dict(tool) == sent
    assert tool["name"] == tool.name and tool.get("strict", "unset") == "unset" and "strict" not in tool
    with pytest.raises(KeyError):
        tool["nonsense"]


def test_an_item_for_training_is_made_of_one_without_tokens_and_needs_all_three() -> None:
    plain = OutputMessage.model_validate(message("hi"))
    tokens = {"prompt_token_ids": [1], "generation_token_ids": [2], "generation_log_probs": [-0.5]}
    item = FOR_TRAINING[type(plain)](**plain.model_dump(), **tokens)
    [kept] = Response.model_validate(response_of(item)).output  # type: ignore[arg-type]
    assert isinstance(kept, OutputMessage) and kept.generation_token_ids == [2]
    assert mistakes(FOR_TRAINING[type(plain)], message("hi")) == [f"{name}: Field required" for name in tokens]
