"""Streams translated between both APIs: whole answers cut into pieces, translated, and put together again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter, ValidationError

from nemo_gym.converters import ChatDialect, ChatStream, ResponsesStream, split_think_tags, to_response
from nemo_gym.converters.chat_chunks import ChatChunks
from nemo_gym.converters.think_tags import ThinkTagStream
from nemo_gym.errors import ConversionError
from nemo_gym.schemas.chat_completions import ChatCompletion, ChatCompletionCreateParams
from nemo_gym.schemas.responses import ResponseCreateParams

Json = dict[str, Any]
PARAMS = ResponseCreateParams(input="2 + 2?", temperature=0.5)
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def chunk(delta: Json, finish_reason: str | None = None, **fields: Any) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "chatcmpl-1", "created": 7, "model": "m", "choices": [choice], **fields}


def chunks_of(reasoning: str, text: str, calls: list[tuple[str, str]], finish_reason: str = "stop") -> list[Json]:
    """A whole answer, one chunk a character."""
    chunks = [chunk({"role": "assistant", "content": ""})]
    chunks += [chunk({"reasoning": letter}) for letter in reasoning]
    chunks += [chunk({"content": letter}) for letter in text]
    for index, (name, arguments) in enumerate(calls):
        call = {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": name}}
        chunks.append(chunk({"tool_calls": [call]}))
        chunks += [chunk({"tool_calls": [{"index": index, "function": {"arguments": letter}}]}) for letter in arguments]
    return [*chunks, chunk({}, finish_reason), {**chunk({}), "choices": [], "usage": USAGE}]


def responses_events(chunks: list[Json], dialect: ChatDialect | None = None) -> list[Json]:
    stream = ResponsesStream(PARAMS, dialect or ChatDialect())
    events = [event for one in chunks for event in stream.add(one)]
    return events + stream.end(ChatCompletion.model_validate(stream.completion))


def joined(events: list[Json], kind: str) -> str:
    return "".join(event["delta"] for event in events if event["type"] == kind)


TEXTS = st.text(max_size=6)
CALLS = st.lists(st.tuples(st.sampled_from(["add", "sub"]), TEXTS), max_size=3)


@given(reasoning=TEXTS, text=TEXTS, calls=CALLS, finish=st.sampled_from(["stop", "length"]))
def test_the_last_event_holds_what_would_have_been_answered_without_a_stream(
    reasoning: str, text: str, calls: list[tuple[str, str]], finish: str
) -> None:
    events = responses_events(chunks_of(reasoning, text, calls, finish))
    tool_calls = [
        {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for index, (name, arguments) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": text, "reasoning": reasoning or None, "tool_calls": tool_calls or None}
    whole = {"id": "chatcmpl-1", "created": 7, "model": "m", "usage": USAGE}
    whole["choices"] = [{"index": 0, "message": message, "finish_reason": finish}]
    expected = to_response(ChatCompletion.model_validate(whole), PARAMS).model_dump(mode="json")
    assert events[-1]["response"] == expected
    assert events[-1]["type"] == ("response.completed" if finish == "stop" else "response.incomplete")
    assert joined(events, "response.output_text.delta") == text
    assert joined(events, "response.reasoning_summary_text.delta") == reasoning
    arguments = joined(events, "response.function_call_arguments.delta")
    assert arguments == "".join(arguments for _, arguments in calls)


@given(reasoning=TEXTS, text=TEXTS, calls=CALLS)
def test_events_are_those_of_openais_client_in_order(reasoning: str, text: str, calls: list[tuple[str, str]]) -> None:
    events = responses_events(chunks_of(reasoning, text, calls))
    for event in events:
        # Which counts usage has differs between versions of the client.
        response = {"response": {**event["response"], "usage": None}} if "response" in event else {}
        assert EVENT.validate_python({**event, **response}).type == event["type"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    added = [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert added == [item["id"] for item in done]
    assert done == events[-1]["response"]["output"]


def test_parallel_calls_whose_arguments_mingle_are_kept_apart() -> None:
    def piece(index: int, **fields: Any) -> Json:
        return chunk({"tool_calls": [{"index": index, **fields}]})

    events = responses_events(
        [
            piece(0, id="a", function={"name": "add", "arguments": ""}),
            piece(1, id="b", function={"name": "sub", "arguments": "["}),
            piece(0, function={"arguments": "{}"}),
            piece(1, function={"arguments": "]"}),
            chunk({}, "tool_calls"),
        ]
    )
    calls = [(call["call_id"], call["name"], call["arguments"]) for call in events[-1]["response"]["output"]]
    assert calls == [("a", "add", "{}"), ("b", "sub", "[]")]


def test_an_error_in_the_stream_is_raised_and_told_as_a_failed_response() -> None:
    stream = ResponsesStream(PARAMS)
    stream.add(chunk({"content": "It is"}))
    with pytest.raises(ConversionError, match="EngineCore died"):
        stream.add({"error": {"message": "EngineCore died"}})
    [last] = stream.fail("EngineCore died")
    assert EVENT.validate_python(last).response.error.message == "EngineCore died"


def test_a_stream_that_fails_before_its_first_chunk_has_a_beginning_too() -> None:
    kinds = [event["type"] for event in ResponsesStream(PARAMS).fail("gone")]
    assert kinds == ["response.created", "response.in_progress", "response.failed"]


def test_token_fields_of_chunks_are_kept_as_in_a_whole_answer() -> None:
    chunks = ChatChunks()
    chunks.add({**chunk({"role": "assistant"}), "prompt_token_ids": [1, 2]})
    for token in (3, 4):
        one = chunk({"content": "x"})
        logprobs = {"content": [{"token": f"token_id:{token}", "logprob": -1.0}]}
        one["choices"][0] |= {"token_ids": [token], "logprobs": logprobs}
        chunks.add(one)
    whole = chunks.completion()
    assert whole["prompt_token_ids"] == [1, 2]
    assert whole["choices"][0]["token_ids"] == [3, 4]
    assert [token["token"] for token in whole["choices"][0]["logprobs"]["content"]] == ["token_id:3", "token_id:4"]


# --------------------------------------------------------------------------------------------------------- think tags

PIECES = st.lists(
    st.sampled_from(["<think>", "</think>", "<thi", "nk>", "</", "think>", " ", "\n", "a", "b<"]), max_size=8
)


@given(pieces=PIECES)
def test_a_text_in_pieces_is_split_at_its_think_tags_as_the_whole_text_is(pieces: list[str]) -> None:
    stream = ThinkTagStream()
    parts = [part for piece in pieces for part in stream.add(piece)] + stream.end()
    thought = "".join(text for kind, text in parts if kind == "reasoning")
    said = "".join(text for kind, text in parts if kind == "text")
    assert (thought or None, said) == split_think_tags("".join(pieces))


@given(pieces=PIECES)
def test_what_is_told_of_think_tags_is_what_the_last_event_holds(pieces: list[str]) -> None:
    chunks = [chunk({"content": piece}) for piece in pieces]
    events = responses_events([*chunks, chunk({}, "stop")], ChatDialect(think_tags=True))
    output = events[-1]["response"]["output"]
    texts = [part["text"] for item in output if item["type"] == "message" for part in item["content"]]
    thoughts = [part["text"] for item in output if item["type"] == "reasoning" for part in item["summary"]]
    assert joined(events, "response.output_text.delta") == "".join(texts)
    assert joined(events, "response.reasoning_summary_text.delta") == "".join(thoughts)


# ----------------------------------------------------------------------------------------------------- events to chunks


@given(reasoning=TEXTS, text=TEXTS, calls=CALLS)
def test_events_become_chunks_that_add_up_to_the_same_answer(
    reasoning: str, text: str, calls: list[tuple[str, str]]
) -> None:
    stream = ChatStream(ChatCompletionCreateParams(messages=[], stream_options={"include_usage": True}))
    chunks = ChatChunks()
    for event in responses_events(chunks_of(reasoning, text, calls)):
        for one in stream.add(event):
            chunks.add(one)
    whole = chunks.completion()
    [choice] = whole["choices"]
    assert choice["message"].get("reasoning_content", "") == reasoning
    assert choice["message"]["content"] == text
    told = [
        (call["function"]["name"], call["function"]["arguments"]) for call in choice["message"].get("tool_calls", [])
    ]
    assert told == calls
    assert choice["finish_reason"] == ("tool_calls" if calls else "stop")
    assert whole["usage"]["total_tokens"] == 5
    assert (whole["id"], whole["model"]) == ("chatcmpl-1", "m")


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "message": "overloaded"},
        {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "overloaded"}}},
    ],
)
def test_a_failed_response_is_an_error_in_the_chat_stream(event: Json) -> None:
    stream = ChatStream(ChatCompletionCreateParams(messages=[]))
    with pytest.raises(ConversionError, match="overloaded"):
        stream.add(event)


def test_a_last_event_that_holds_no_response_is_no_answer() -> None:
    with pytest.raises(ValidationError):
        ChatStream(ChatCompletionCreateParams(messages=[])).add({"type": "response.completed", "response": {}})
