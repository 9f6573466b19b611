"""Our routes before a real vLLM: both APIs, tools, streams, tokens against vLLM's own scores, overflow, rollouts."""

from __future__ import annotations

import json
import math
import os
import subprocess
from itertools import pairwise
from typing import Any

import pytest
from openai import BadRequestError

from nemo_gym.schemas.prompt_ids import with_whole_prompts
from tests.real_vllm.conftest import BIN, ROOT, RealVLLM

Json = dict[str, Any]

TOLERANCE = 1e-4
"""Between the log-prob of a token when it was sampled and when it is scored again in one go."""
SYNONYM = {"type": "string", "maxLength": 12}
TOOL: Any = {
    "type": "function",
    "name": "get_synonym_value",
    "description": "The value of one synonym.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"synonym": SYNONYM},
        "required": ["synonym"],
        "additionalProperties": False,
    },
}
FORCED: Any = {"type": "function", "name": "get_synonym_value"}
SAMPLING: Any = {"temperature": 1.0, "top_p": 1.0}
END = "<|im_end|>"
CONTEXT = 8192
EMPTY_PROMPT = ["<|im_start|>", *"user\n", END, "\n", "<|im_start|>", *"assistant\n"]
"""The tokens of a prompt with one empty user message."""


def items_of(response: Any) -> list[Json]:
    return [item.model_dump(exclude_none=True) for item in response.output]


def check_triplet(item: Json) -> None:
    ids, log_probs = item["generation_token_ids"], item["generation_log_probs"]
    assert item["prompt_token_ids"]
    assert len(ids) == len(log_probs) > 0
    assert all(math.isfinite(value) and value <= 0 for value in log_probs)


def scored_again(real_vllm: RealVLLM, item: Json, temperature: float = 1.0) -> list[float]:
    """The log-probs of the generated ids, by vLLM's scores of the whole vocabulary over prompt and generation."""
    ids = item["prompt_token_ids"] + item["generation_token_ids"]
    answer = real_vllm.ask_vllm(
        "/v1/completions", prompt=ids, max_tokens=1, temperature=1.0, top_p=1.0, prompt_logprobs=-1
    )
    scores = answer["choices"][0]["prompt_logprobs"][len(item["prompt_token_ids"]) :]
    again = []
    for token, score in zip(item["generation_token_ids"], scores, strict=True):
        scaled = {name: entry["logprob"] / temperature for name, entry in score.items()}
        total = math.log(sum(math.exp(value) for value in scaled.values()))
        again.append(scaled[str(token)] - total)
    return again


def largest_difference(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def test_an_answers_tokens_are_its_text_and_vllms_own_prompt(real_vllm: RealVLLM) -> None:
    response = real_vllm.client.responses.create(model="any", input="Hello", max_output_tokens=40, **SAMPLING)
    [item] = items_of(response)
    check_triplet(item)
    said = real_vllm.ask_vllm("/detokenize", tokens=item["generation_token_ids"])["prompt"]
    assert said.removesuffix(END) == response.output_text
    prompt = real_vllm.ask_vllm("/detokenize", tokens=item["prompt_token_ids"])["prompt"]
    assert prompt == f"<|im_start|>user\nHello{END}\n<|im_start|>assistant\n"
    assert response.usage is not None
    assert response.usage.input_tokens == len(item["prompt_token_ids"])
    assert response.usage.output_tokens == len(item["generation_token_ids"])


def test_an_assistant_message_is_continued_when_asked(real_vllm: RealVLLM) -> None:
    """As with `use_conversation_multi_turn: false`: the prompt ends in the message's own text."""
    asked: Any = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "So far I said this"}]
    extra = {"continue_final_message": True, "add_generation_prompt": False}
    response = real_vllm.client.responses.create(
        model="any", input=asked, max_output_tokens=10, extra_body=extra, **SAMPLING
    )
    [item] = items_of(response)
    check_triplet(item)
    prompt = real_vllm.ask_vllm("/detokenize", tokens=item["prompt_token_ids"])["prompt"]
    assert prompt == f"<|im_start|>user\nHello{END}\n<|im_start|>assistant\nSo far I said this"


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_log_probs_are_those_of_the_distribution_that_was_sampled_from(
    real_vllm: RealVLLM, temperature: float, record_property: Any
) -> None:
    worst = 0.0
    for number in range(5):
        response = real_vllm.client.responses.create(
            model="any", input=f"Question {number}", max_output_tokens=60, temperature=temperature, top_p=1.0
        )
        [item] = items_of(response)
        check_triplet(item)
        again = scored_again(real_vllm, item, temperature)
        worst = max(worst, largest_difference(item["generation_log_probs"], again))
    record_property("largest_difference", worst)
    print(f"temperature {temperature}: log-probs differ from vLLM's own scores by {worst:.1e} at most")  # noqa: T201
    assert worst < TOLERANCE


def test_a_tool_call_is_an_item_with_the_tokens(real_vllm: RealVLLM) -> None:
    response = real_vllm.client.responses.create(
        model="any", input="Hot?", tools=[TOOL], tool_choice=FORCED, max_output_tokens=200, **SAMPLING
    )
    [item] = items_of(response)
    assert (item["type"], item["name"]) == ("function_call", "get_synonym_value")
    assert json.loads(item["arguments"]).keys() == {"synonym"}
    check_triplet(item)
    written = real_vllm.ask_vllm("/detokenize", tokens=item["generation_token_ids"])["prompt"]
    call = written.removesuffix(END)
    # Without the grammar of strict tool calls, vLLM has a forced call's arguments written, and nothing else.
    assert json.loads(call) == json.loads(item["arguments"])


def test_reasoning_is_an_item(real_vllm: RealVLLM) -> None:
    letters = list(range(90))  # no token that would end the reasoning
    body = {"chat_template_kwargs": {"enable_thinking": True}, "allowed_token_ids": letters}
    response = real_vllm.client.responses.create(
        model="any", input="Hello", max_output_tokens=20, extra_body=body, **SAMPLING
    )
    items = items_of(response)
    assert items[0]["type"] == "reasoning"
    check_triplet(items[-1])


def test_a_conversation_goes_on_with_its_tokens_in_it(real_vllm: RealVLLM) -> None:
    ask = real_vllm.client.responses.create
    first = items_of(ask(model="any", input="Hot?", tools=[TOOL], tool_choice=FORCED, **SAMPLING))
    [call] = first
    answered = {"type": "function_call_output", "call_id": call["call_id"], "output": "17"}
    history: Any = [{"role": "user", "content": "Hot?"}, call, answered]
    second = items_of(ask(model="any", input=history, tools=[TOOL], max_output_tokens=20, **SAMPLING))
    prompt = real_vllm.ask_vllm("/detokenize", tokens=second[-1]["prompt_token_ids"])["prompt"]
    assert f"<|im_start|>tool\n17{END}" in prompt


def test_chat_completions_carry_the_tokens_too(real_vllm: RealVLLM) -> None:
    completion = real_vllm.client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": "Hello"}], max_completion_tokens=20, **SAMPLING
    )
    check_triplet(completion.choices[0].message.model_dump())


def test_a_streamed_response_is_told_piece_by_piece(real_vllm: RealVLLM) -> None:
    pieces, last = [], None
    for event in real_vllm.client.responses.create(
        model="any", input="Hello", max_output_tokens=30, stream=True, **SAMPLING
    ):
        if event.type == "response.output_text.delta":
            pieces.append(event.delta)
        last = event
    assert last is not None and last.type in ("response.completed", "response.incomplete")
    assert len(pieces) > 1
    assert "".join(pieces) == last.response.output_text
    [item] = items_of(last.response)
    check_triplet(item)
    assert largest_difference(item["generation_log_probs"], scored_again(real_vllm, item)) < TOLERANCE


def test_a_streamed_tool_call_is_told_piece_by_piece(real_vllm: RealVLLM) -> None:
    pieces, last = [], None
    for event in real_vllm.client.responses.create(
        model="any", input="Hot?", tools=[TOOL], tool_choice=FORCED, max_output_tokens=200, stream=True, **SAMPLING
    ):
        if event.type == "response.function_call_arguments.delta":
            pieces.append(event.delta)
        last = event
    assert last is not None and last.type == "response.completed"
    [item] = items_of(last.response)
    assert "".join(pieces) == item["arguments"]
    check_triplet(item)


def test_a_streamed_chat_completion_is_passed_on(real_vllm: RealVLLM) -> None:
    chunks = real_vllm.client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": "Hello"}], max_completion_tokens=20, stream=True, **SAMPLING
    )
    assert len([chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]) > 1


@pytest.mark.parametrize("length", [CONTEXT - len(EMPTY_PROMPT), CONTEXT, 200_000])
def test_a_prompt_that_does_not_fit_has_its_own_code(real_vllm: RealVLLM, length: int) -> None:
    with pytest.raises(BadRequestError) as refused:
        real_vllm.client.responses.create(model="any", input="x" * length, max_output_tokens=5)
    assert refused.value.code == "context_length_exceeded"


def test_other_refusals_do_not_have_it(real_vllm: RealVLLM) -> None:
    for mistake in ({"max_output_tokens": 100_000}, {"extra_body": {"min_p": 7}}):
        with pytest.raises(BadRequestError) as refused:
            real_vllm.client.responses.create(model="any", input="Hello", **mistake)  # type: ignore[call-overload]
        assert refused.value.code is None


def test_rollouts_of_several_steps_carry_tokens_at_each_model_call(real_vllm: RealVLLM) -> None:
    rows = (ROOT / "resources_servers/example_multi_step/data/example.jsonl").read_text().splitlines()
    asked = real_vllm.folder / "rows.jsonl"
    with asked.open("w") as file:
        for row in map(json.loads, rows):
            for tool in row["responses_create_params"]["tools"]:
                tool["strict"] = True
                tool["parameters"]["properties"] |= {"synonym": SYNONYM} if tool["name"] == FORCED["name"] else {}
            row["responses_create_params"] |= {"tool_choice": FORCED, "max_output_tokens": 200, **SAMPLING}
            file.write(json.dumps(row) + "\n")
    subprocess.run(
        [
            str(BIN / "ng_collect_rollouts"),
            "+agent_name=example_multi_step_simple_agent",
            f"+input_jsonl_fpath={asked}",
            "+output_jsonl_fpath=results/real.jsonl",
        ],
        cwd=real_vllm.folder,
        env=dict(os.environ),
        check=True,
        timeout=300,
    )
    results = [json.loads(line) for line in (real_vllm.folder / "results/real.jsonl").read_text().splitlines()]
    assert len(results) == len(rows)
    for result in results:
        assert isinstance(result["reward"], float)
        items = with_whole_prompts(result["response"]["output"])
        calls = [item for item in items if "generation_token_ids" in item]
        assert len(calls) == len(result["turns"]) == 3
        for before, call in pairwise(calls):
            assert len(call["prompt_token_ids"]) > len(before["prompt_token_ids"])
        for call in calls:
            check_triplet(call)
