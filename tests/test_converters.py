"""Responses ↔ Chat Completions: what both can say survives the way there and back; OpenAI's own types agree."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from nemo_gym.converters import (
    ChatDialect,
    split_think_tags,
    to_chat_completion,
    to_chat_messages,
    to_chat_request,
    to_items,
    to_response,
    to_responses_request,
)
from nemo_gym.errors import ConversionError
from nemo_gym.schemas.chat_completions import ChatCompletion, ChatCompletionCreateParams
from nemo_gym.schemas.responses import Response, ResponseCreateParams

Json = dict[str, Any]


def params(**fields: Any) -> ResponseCreateParams:
    return ResponseCreateParams.model_validate({"input": "hello", **fields})


def chat(**fields: Any) -> ChatCompletionCreateParams:
    return ChatCompletionCreateParams.model_validate({"messages": [{"role": "user", "content": "hello"}], **fields})


def messages_of(*items: Json, dialect: ChatDialect | None = None) -> list[Json]:
    request = to_chat_request(params(input=list(items)), dialect or ChatDialect())
    return [message.model_dump(exclude_none=True) for message in request.messages]


def completion(message: Json, finish_reason: str = "stop", **fields: Any) -> ChatCompletion:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return ChatCompletion.model_validate(
        {"id": "chatcmpl-7", "created": 1700000000, "model": "m", "choices": [choice], **fields}
    )


def dumped(items: list[Any]) -> list[Json]:
    return [item.model_dump(exclude_none=True, exclude={"id", "status"}) for item in items]


CALL_A = {"type": "function_call", "call_id": "a", "name": "add", "arguments": '{"n": 1}'}
CALL_B = {"type": "function_call", "call_id": "b", "name": "add", "arguments": '{"n": 2}'}
OUT_A = {"type": "function_call_output", "call_id": "a", "output": "1"}
OUT_B = {"type": "function_call_output", "call_id": "b", "output": "2"}
REASONING = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "I add."}]}
SAID = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Adding.", "annotations": []}],
}
TOKENS = {"prompt_token_ids": [1, 2], "generation_token_ids": [3], "generation_log_probs": [-0.5]}


# ------------------------------------------------------------------------------------------------- requests, to chat


def test_a_string_input_becomes_one_user_message_after_the_instructions() -> None:
    request = to_chat_request(params(input="hi", instructions="Be brief."))
    assert [(m.role, m.content) for m in request.messages] == [("system", "Be brief."), ("user", "hi")]


def test_reasoning_text_and_parallel_calls_become_one_assistant_message() -> None:
    call, *outputs = messages_of(REASONING, SAID, CALL_A, CALL_B, OUT_A, OUT_B)
    assert (call["reasoning_content"], call["content"]) == ("I add.", "Adding.")
    assert [c["id"] for c in call["tool_calls"]] == ["a", "b"]
    assert [(m["role"], m["tool_call_id"], m["content"]) for m in outputs] == [("tool", "a", "1"), ("tool", "b", "2")]


def test_calls_one_after_the_other_stay_apart() -> None:
    assert [m["role"] for m in messages_of(CALL_A, OUT_A, CALL_B, OUT_B)] == ["assistant", "tool", "assistant", "tool"]


def test_text_between_a_call_and_its_output_joins_the_call_so_that_the_output_comes_next() -> None:
    assert [m["role"] for m in messages_of(CALL_A, SAID, OUT_A)] == ["assistant", "tool"]


def test_token_fields_end_a_model_call() -> None:
    first, second = messages_of({**SAID, **TOKENS}, {**REASONING}, SAID)[:2]
    assert first["generation_token_ids"] == [3]
    assert "generation_token_ids" not in second


def test_two_messages_of_a_model_stay_two() -> None:
    assert [m["content"] for m in messages_of(SAID, SAID)] == ["Adding.", "Adding."]


def test_reasoning_goes_into_the_field_or_tags_that_the_dialect_names() -> None:
    assert messages_of(REASONING, SAID, dialect=ChatDialect(reasoning_field="reasoning"))[0]["reasoning"] == "I add."
    assert "reasoning_content" not in messages_of(REASONING, SAID, dialect=ChatDialect(reasoning_field="none"))[0]
    tagged = messages_of(REASONING, SAID, dialect=ChatDialect(think_tags=True))[0]
    assert tagged["content"] == "<think>I add.</think>Adding."


def test_developer_messages_take_the_role_that_the_dialect_knows() -> None:
    developer = {"role": "developer", "content": "x"}
    assert messages_of(developer)[0]["role"] == "developer"
    assert messages_of(developer, dialect=ChatDialect(developer_role="system"))[0]["role"] == "system"


def test_images_and_files_become_chat_parts() -> None:
    parts = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "AA=="},
    ]
    [message] = messages_of({"role": "user", "content": parts})
    assert [part["type"] for part in message["content"]] == ["text", "image_url", "file"]
    assert message["content"][1]["image_url"] == {"url": "data:image/png;base64,AA==", "detail": "low"}


def test_settings_are_reworded() -> None:
    schema = {"type": "object", "properties": {}}
    request = to_chat_request(
        params(
            max_output_tokens=7,
            tools=[{"type": "function", "name": "add", "parameters": schema, "strict": True}],
            tool_choice={"type": "function", "name": "add"},
            text={"format": {"type": "json_schema", "name": "s", "schema": schema, "strict": True}, "verbosity": "low"},
            reasoning={"effort": "high"},
            top_logprobs=2,
            top_k=40,
            seed=3,
        )
    ).model_dump(exclude_none=True)
    assert request["max_completion_tokens"] == 7
    assert request["tools"][0]["function"] == {"name": "add", "parameters": schema, "strict": True}
    assert request["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert request["response_format"]["json_schema"] == {"name": "s", "schema": schema, "strict": True}
    assert (request["reasoning_effort"], request["verbosity"]) == ("high", "low")
    assert (request["logprobs"], request["top_logprobs"], request["top_k"], request["seed"]) == (True, 2, 40, 3)


def test_nulls_inside_a_tools_schema_stay() -> None:
    schema = {"type": "object", "properties": {"x": {"enum": [None, "a"], "default": None}}}
    sent = to_chat_request(params(tools=[{"type": "function", "name": "f", "parameters": schema}]))
    assert sent.model_dump(mode="json", exclude_none=True)["tools"][0]["function"]["parameters"] == schema


def test_max_tokens_has_its_older_name_where_the_dialect_says_so() -> None:
    request = to_chat_request(params(max_output_tokens=7), ChatDialect(max_tokens_field="max_tokens"))
    assert (request.max_tokens, request.max_completion_tokens) == (7, None)


def test_extras_in_metadata_become_parameters_and_leave_the_metadata() -> None:
    metadata = {
        "extra_body": json.dumps({"min_p": 0.1, "temperature": 0.7}),
        "chat_template_kwargs": json.dumps({"enable_thinking": False}),
        "run": "r1",
    }
    request = to_chat_request(params(temperature=1.0, metadata=metadata)).model_dump(exclude_none=True)
    assert (request["min_p"], request["temperature"], request["metadata"]) == (0.1, 0.7, {"run": "r1"})
    assert request["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"metadata": {"extra_body": "{"}}, "metadata.extra_body"),
        ({"metadata": {"extra_body": "[1]"}}, "metadata.extra_body"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "web_search"),
        ({"tool_choice": {"type": "web_search"}}, "web_search"),
        ({"input": [{"role": "user", "content": "x"}, {"type": "web_search_call", "id": "w"}]}, r"input\[1\]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "image_url"),
    ],
)
def test_what_chat_cannot_say_is_refused_by_name(fields: Json, named: str) -> None:
    with pytest.raises(ConversionError, match=named):
        to_chat_request(params(**fields))


# ------------------------------------------------------------------------------------------ requests, to Responses


def test_chat_settings_are_reworded() -> None:
    request = to_responses_request(
        chat(
            max_tokens=9,
            tools=[{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}],
            tool_choice={"type": "function", "function": {"name": "add"}},
            response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": {}}},
            stop=["END"],
            n=1,
        )
    )
    assert request.max_output_tokens == 9
    assert (request.tools[0].name, request.tools[0].parameters) == ("add", {"type": "object"})
    assert request.tool_choice == {"type": "function", "name": "add"}
    assert request.text == {"format": {"type": "json_schema", "name": "s", "schema": {}}}
    assert request.model_extra == {"stop": ["END"]}


@pytest.mark.parametrize("fields", [{"n": 2}, {"functions": []}, {"audio": {"voice": "v"}}])
def test_what_responses_cannot_say_is_refused_by_name(fields: Json) -> None:
    with pytest.raises(ConversionError, match=next(iter(fields))):
        to_responses_request(chat(**fields))


# ------------------------------------------------------------------------------------------------------------ answers


def test_an_answer_becomes_items_in_order_with_the_tokens_on_the_last() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    message = {"content": "Adding.", "reasoning_content": "I add.", "tool_calls": [call], **TOKENS}
    response = to_response(completion(message, "tool_calls"))
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    assert [item.generation_token_ids for item in response.output] == [None, None, [3]]
    assert response.status == "completed"


@pytest.mark.parametrize(
    ("finish_reason", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("abort", "incomplete", "abort"),
    ],
)
def test_finish_reasons_are_translated_both_ways(finish_reason: str, status: str, reason: str | None) -> None:
    response = to_response(completion({"content": "x"}, finish_reason))
    details = response.incomplete_details
    assert (response.status, details.reason if details else None) == (status, reason)
    expected = "stop" if finish_reason == "tool_calls" else finish_reason
    assert to_chat_completion(response).choices[0].finish_reason == expected


def test_a_reasoning_only_answer_holds_no_message() -> None:
    response = to_response(completion({"content": None, "reasoning_content": "hm", **TOKENS}, "length"))
    assert [item.type for item in response.output] == ["reasoning"]
    assert response.output[0].generation_token_ids == [3]


def test_an_answer_of_nothing_holds_no_item_and_an_empty_text_is_a_message() -> None:
    assert to_response(completion({"content": None})).output == []
    assert [item.type for item in to_response(completion({"content": ""})).output] == ["message"]


def test_refusals_stay_refusals() -> None:
    response = to_response(completion({"content": None, "refusal": "No."}))
    assert response.output[0].content[0].type == "refusal"
    assert to_chat_completion(response).choices[0].message.refusal == "No."


def test_think_tags_are_split_only_when_asked() -> None:
    answer = completion({"content": "<think>I add.</think>\n\n3"})
    assert to_response(answer).output_text.startswith("<think>")
    split = to_response(answer, dialect=ChatDialect(think_tags=True))
    assert [item.type for item in split.output] == ["reasoning", "message"]
    assert split.output_text == "3"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>a</think>b", ("a", "b")),
        ("a</think>b", ("a", "b")),
        ("<think>a", ("a", "")),
        ("<think></think>b", (None, "b")),
        ("b <think>", (None, "b <think>")),
        ("", (None, "")),
    ],
)
def test_think_tags_may_be_incomplete(text: str, expected: tuple[str | None, str]) -> None:
    assert split_think_tags(text) == expected


def test_usage_and_log_probs_are_kept_both_ways() -> None:
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 3,
        "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    answer = completion({"content": "x"}, usage=usage)
    logprobs = {"content": [{"token": "x", "logprob": -0.1, "bytes": [120], "top_logprobs": []}], "refusal": None}
    answer.choices[0].logprobs = logprobs
    response = to_response(answer)
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens_details.reasoning_tokens) == (5, 2)
    back = to_chat_completion(response)
    assert back.usage is not None
    assert back.usage.model_dump() == usage
    assert back.choices[0].logprobs == logprobs


def test_an_answer_echoes_the_settings_of_its_request() -> None:
    response = to_response(completion({"content": "x"}), params(temperature=0.3, instructions="Be brief."))
    assert (response.temperature, response.instructions) == (0.3, "Be brief.")


def test_failed_responses_whole_rollouts_and_empty_choices_are_refused() -> None:
    base = {"id": "resp_1", "created_at": 0, "model": "m"}
    failed = Response.model_validate({**base, "output": [], "status": "failed", "error": {"message": "boom"}})
    with pytest.raises(ConversionError, match="boom"):
        to_chat_completion(failed)
    with pytest.raises(ConversionError, match=r"output\[1\]"):
        to_chat_completion(Response.model_validate({**base, "output": [CALL_A, OUT_A]}))
    with pytest.raises(ConversionError, match="choices"):
        to_response(ChatCompletion(id="x", created=0, model="m", choices=[]))


# --------------------------------------------------------------------------------------------------------- round trips

no_deadline = settings(deadline=None)  # speed is not what these hold

text = st.text(min_size=1, max_size=12)
token_fields = st.fixed_dictionaries(
    {"prompt_token_ids": st.lists(st.integers(0, 9), max_size=4), "n": st.integers(1, 3)}
).map(
    lambda drawn: {
        "prompt_token_ids": drawn["prompt_token_ids"],
        "generation_token_ids": [5] * drawn["n"],
        "generation_log_probs": [-0.25] * drawn["n"],
    }
)


@st.composite
def model_calls(draw: st.DrawFn) -> list[Json]:
    """The items of one model call: reasoning, then text or a refusal, then tool calls, tokens on the last."""
    items: list[Json] = []
    if draw(st.booleans()):
        items.append({"type": "reasoning", "summary": [{"type": "summary_text", "text": draw(text)}]})
    parts = [{"type": "output_text", "text": part, "annotations": []} for part in draw(st.lists(text, max_size=2))]
    if not parts and draw(st.booleans()):
        parts = [{"type": "refusal", "refusal": draw(text)}]
    if parts:
        items.append({"type": "message", "role": "assistant", "content": parts})
    for name in draw(st.lists(st.sampled_from(["add", "find"]), max_size=3 if parts else 2)):
        call_id = f"call_{draw(st.integers(0, 10**9))}"
        items.append({"type": "function_call", "call_id": call_id, "name": name, "arguments": draw(text)})
    tokens = draw(st.none() | token_fields)
    if not items or (items[-1]["type"] == "reasoning" and tokens is None):
        items.append({"type": "message", "role": "assistant", "content": [parts[0]] if parts else [
            {"type": "output_text", "text": draw(text), "annotations": []}]})  # fmt: skip
    items[-1] |= tokens or {}
    return items


@st.composite
def conversations(draw: st.DrawFn) -> list[Json]:
    items: list[Json] = []
    for _ in range(draw(st.integers(1, 4))):
        role = draw(st.sampled_from(["user", "system", "developer"]))
        image = {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"}
        parts = st.lists(st.just(image) | text.map(lambda t: {"type": "input_text", "text": t}), min_size=1, max_size=3)
        items.append({"type": "message", "role": role, "content": draw(text | parts)})
        for call in draw(st.lists(model_calls(), max_size=3)):
            items.extend(call)
            asked = [item["call_id"] for item in call if item["type"] == "function_call"]
            items.extend({"type": "function_call_output", "call_id": c, "output": draw(text)} for c in asked)
    return items


@no_deadline
@given(conversations())
def test_a_conversation_survives_the_way_to_chat_and_back(items: list[Json]) -> None:
    parsed = params(input=items)
    back = to_items(to_chat_messages(parsed.input))
    assert dumped(back) == dumped(parsed.input)


@no_deadline
@given(model_calls(), st.sampled_from([None, "max_output_tokens", "content_filter"]))
def test_an_answer_survives_the_way_to_chat_and_back(items: list[Json], reason: str | None) -> None:
    for item in items:
        if item["type"] == "message":
            item["content"] = item["content"][:1]  # a chat answer has one text
    details = {"reason": reason} if reason else None
    response = Response.model_validate(
        {"id": "resp_1", "created_at": 5, "model": "m", "output": items, "incomplete_details": details}
    )
    back = to_response(to_chat_completion(response))
    assert dumped(back.output) == dumped(response.output)
    assert back.incomplete_details == response.incomplete_details


@no_deadline
@given(
    st.fixed_dictionaries(
        {"input": text},
        optional={
            "temperature": st.floats(0, 2),
            "top_p": st.floats(0, 1),
            "max_output_tokens": st.integers(1, 99),
            "parallel_tool_calls": st.booleans(),
            "tool_choice": st.sampled_from(["auto", "none", "required", {"type": "function", "name": "add"}]),
            "tools": st.just([{"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": False}]),
            "text": st.sampled_from([{"format": {"type": "json_object"}}, {"verbosity": "low"}]),
            "reasoning": st.sampled_from([{"effort": "low"}]),
            "metadata": st.just({"run": "r"}),
            "seed": st.integers(0, 9),
            "top_k": st.integers(1, 9),
        },
    )
)
def test_settings_survive_the_way_to_chat_and_back(fields: Json) -> None:
    original = params(**fields)
    back = to_responses_request(to_chat_request(original))
    assert back.model_dump(exclude={"input"}) == original.model_dump(exclude={"input"})


# --------------------------------------------------------------------------------------------------- OpenAI's own types


@no_deadline
@given(conversations())
def test_openai_accepts_every_message_made(items: list[Json]) -> None:
    from openai.types.chat import ChatCompletionMessageParam

    adapter = TypeAdapter(list[ChatCompletionMessageParam])
    messages = to_chat_messages(params(input=items).input)
    adapter.validate_python([message.model_dump(exclude_none=True) for message in messages])


@no_deadline
@given(model_calls())
def test_openai_reads_every_answer_made(items: list[Json]) -> None:
    from openai.types.chat import ChatCompletion as OpenAIChatCompletion
    from openai.types.responses import Response as OpenAIResponse

    response = Response.model_validate({"id": "resp_1", "created_at": 5, "model": "m", "output": items})
    answer = to_chat_completion(response)
    OpenAIChatCompletion.model_validate_json(answer.model_dump_json())
    back = OpenAIResponse.model_validate_json(to_response(answer).model_dump_json())
    assert back.output_text == response.output_text
