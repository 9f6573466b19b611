"""vllm_model in front of fake vLLMs, driven by OpenAI's client: both APIs, tokens, reasoning, overflow, replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError

from nemo_gym.errors import ConfigError
from nemo_gym.upstream.fake_vllm import LOG_PROB, Said, ids_of, prompt_ids

Json = dict[str, Any]
FOUR = Said("It is 4.", reasoning="2 + 2")
CALLING = Said(calls=[("add", '{"a": 2}'), ("add", '{"a": 3}')])
TOOL: Any = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {"a": {}}}}
TOKENS = {"prompt_token_ids", "generation_token_ids", "generation_log_probs"}


@pytest.fixture
async def client() -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key="none", base_url="http://nobody", max_retries=0) as client:
        yield client


def at(client: AsyncOpenAI, url: str) -> AsyncOpenAI:
    return client.with_options(base_url=f"{url}/v1")


def dumped(items: list[Any]) -> list[Json]:
    return [item.model_dump(exclude_none=True) for item in items]


def without_ids(items: list[Any]) -> list[Json]:
    """What is the same in two answers: a recorded one has ids of our own."""
    return [{key: value for key, value in item.items() if key != "id"} for item in dumped(items)]


# ------------------------------------------------------------------------------------------------------- what is asked


async def test_requests_are_answered_by_the_chat_api_under_vllms_name(stage: Any, client: AsyncOpenAI) -> None:
    fake, url = await stage.vllm(FOUR)
    model = await stage.vllm_model(url, extra_body={"top_k": 20, "temperature": 1.0})
    answer = await at(client, model).responses.create(model="any", input="2 + 2?", temperature=0.5, max_output_tokens=9)
    assert answer.output_text == "It is 4."
    [(path, asked)] = fake.asked
    assert path == "/v1/chat/completions"
    assert asked["messages"] == [{"role": "user", "content": "2 + 2?"}]
    sampling = {name: asked[name] for name in ("model", "temperature", "top_k", "max_completion_tokens")}
    assert sampling == {"model": "tiny", "temperature": 0.5, "top_k": 20, "max_completion_tokens": 9}
    assert "logprobs" not in asked


async def test_the_requests_template_arguments_win_over_the_configured_ones(stage: Any, client: AsyncOpenAI) -> None:
    fake, url = await stage.vllm(FOUR)
    model = await stage.vllm_model(url, chat_template_kwargs={"enable_thinking": False, "prefill": "x"})
    body = {"chat_template_kwargs": {"enable_thinking": True}}
    await at(client, model).responses.create(model="any", input="Hi", extra_body=body)
    await at(client, model).chat.completions.create(
        model="any", messages=[{"role": "user", "content": "Hi"}], extra_body=body
    )
    for _, asked in fake.asked:
        assert asked["chat_template_kwargs"] == {"enable_thinking": True, "prefill": "x"}


async def test_reasoning_becomes_an_item_and_goes_back_as_a_field(stage: Any, client: AsyncOpenAI) -> None:
    fake, url = await stage.vllm(FOUR)
    model = at(client, await stage.vllm_model(url))
    answer = await model.responses.create(model="any", input="2 + 2?")
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    items: Any = dumped(answer.output)
    await model.responses.create(model="any", input=[{"role": "user", "content": "2 + 2?"}, *items])
    assert fake.asked[1][1]["messages"][1]["reasoning_content"] == "2 + 2"


async def test_without_a_reasoning_parser_reasoning_is_found_in_the_text(stage: Any, client: AsyncOpenAI) -> None:
    fake, url = await stage.vllm(Said("<think>2 + 2</think>\nIt is 4."))
    model = at(client, await stage.vllm_model(url, uses_reasoning_parser=False))
    answer = await model.responses.create(model="any", input="2 + 2?")
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert answer.output_text == "It is 4."
    items: Any = dumped(answer.output)
    await model.responses.create(model="any", input=[{"role": "user", "content": "2 + 2?"}, *items])
    assert fake.asked[1][1]["messages"][1]["content"] == "<think>2 + 2</think>It is 4."


async def test_developer_messages_are_sent_as_system_messages_when_asked(stage: Any, client: AsyncOpenAI) -> None:
    fake, url = await stage.vllm(FOUR)
    model = at(client, await stage.vllm_model(url, replace_developer_role_with_system=True))
    await model.responses.create(model="any", input=[{"role": "developer", "content": "Be brief."}])
    assert fake.asked[0][1]["messages"][0]["role"] == "system"


# -------------------------------------------------------------------------------------------------------------- tokens


async def test_the_last_item_carries_the_tokens_of_the_call(stage: Any, client: AsyncOpenAI) -> None:
    fake, url = await stage.vllm(Said("Adding.", calls=[("add", "{}"), ("add", "[]")]))
    model = at(client, await stage.vllm_model(url, return_token_id_information=True))
    answer = await model.responses.create(model="any", input="2 + 2?", tools=[TOOL])
    first, second, last = dumped(answer.output)
    assert not TOKENS & (first.keys() | second.keys())
    [(_, asked)] = fake.asked
    assert last["prompt_token_ids"] == prompt_ids(asked)
    assert last["generation_token_ids"] == ids_of("Adding.add{}add[]")
    assert last["generation_log_probs"] == [LOG_PROB] * len(last["generation_token_ids"])


async def test_tokens_come_back_to_vllm_on_their_message_only_when_they_are_in_use(
    stage: Any, client: AsyncOpenAI
) -> None:
    fake, url = await stage.vllm(FOUR)
    settings = {"return_token_id_information": True, "token_mode": "pass_through"}
    with_tokens = at(client, await stage.vllm_model(url, **settings))
    answer = await with_tokens.responses.create(model="any", input="2 + 2?")
    history: Any = [{"role": "user", "content": "2 + 2?"}, *dumped(answer.output), {"role": "user", "content": "Sure?"}]
    await with_tokens.responses.create(model="any", input=history)
    await at(client, await stage.vllm_model(url)).responses.create(model="any", input=history)
    (_, kept), (_, dropped) = fake.asked[1:]
    assert kept["messages"][1]["generation_token_ids"] == ids_of("2 + 2It is 4.")
    assert not TOKENS & dropped["messages"][1].keys()


async def test_chat_answers_carry_the_tokens_on_their_message(stage: Any, client: AsyncOpenAI) -> None:
    _, url = await stage.vllm(FOUR)
    model = at(client, await stage.vllm_model(url, return_token_id_information=True))
    answer = await model.chat.completions.create(model="any", messages=[{"role": "user", "content": "2 + 2?"}])
    [choice] = answer.model_dump(exclude_none=True)["choices"]
    assert choice["message"]["generation_token_ids"] == ids_of(FOUR.written)
    assert "logprobs" not in choice
    assert "token_ids" not in choice


async def test_log_probs_that_the_caller_asks_for_keep_their_text(stage: Any, client: AsyncOpenAI) -> None:
    _, url = await stage.vllm(Said("4"))
    model = at(client, await stage.vllm_model(url, return_token_id_information=True))
    answer = await model.chat.completions.create(
        model="any", messages=[{"role": "user", "content": "2 + 2?"}], logprobs=True
    )
    [choice] = answer.model_dump(exclude_none=True)["choices"]
    assert [token["token"] for token in choice["logprobs"]["content"]] == ["4"]
    assert choice["message"]["generation_token_ids"] == ids_of("4")


async def test_an_older_vllms_prompt_is_tokenized_at_the_servers_root(stage: Any, client: AsyncOpenAI) -> None:
    fake, url = await stage.vllm(Said("4"), gives_token_ids=False)
    kwargs = {"prefill": "<think>"}
    model = at(client, await stage.vllm_model(url, return_token_id_information=True, chat_template_kwargs=kwargs))
    answer = await model.responses.create(model="any", input="2 + 2?")
    [item] = dumped(answer.output)
    assert [path for path, _ in fake.asked] == ["/v1/chat/completions", "/tokenize"]
    assert item["prompt_token_ids"] == prompt_ids(fake.asked[0][1])
    assert item["generation_token_ids"] == ids_of("4")


async def test_a_trainers_own_triplet_is_passed_on(stage: Any, client: AsyncOpenAI) -> None:
    def answer(_: Json) -> Any:
        from starlette.responses import JSONResponse

        triplet = {"prompt_token_ids": [1], "generation_token_ids": [2, 3], "generation_log_probs": [-1.0, -2.0]}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "4", **triplet}}
        return JSONResponse({"id": "chatcmpl-1", "created": 1, "model": "m", "choices": [choice]})

    endpoint = await stage.endpoint(answer)
    model = at(client, await stage.vllm_model(endpoint.url, return_token_id_information=True))
    [item] = dumped((await model.responses.create(model="any", input="2 + 2?")).output)
    assert (item["prompt_token_ids"], item["generation_token_ids"]) == ([1], [2, 3])
    assert endpoint.paths == ["/v1/chat/completions"]


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize("length", [2048 - len("user:\nassistant:"), 4000])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_that_does_not_fit_has_its_own_code(
    stage: Any, client: AsyncOpenAI, length: int, stream: bool
) -> None:
    _, url = await stage.vllm(FOUR)
    model = at(client, await stage.vllm_model(url))
    with pytest.raises(BadRequestError) as refused:
        await model.responses.create(model="any", input="x" * length, stream=stream)
    assert refused.value.code == "context_length_exceeded"


async def test_a_limit_that_no_answer_could_reach_is_an_ordinary_mistake(stage: Any, client: AsyncOpenAI) -> None:
    _, url = await stage.vllm(FOUR)
    model = at(client, await stage.vllm_model(url))
    with pytest.raises(BadRequestError, match="cannot be greater than max_model_len") as refused:
        await model.responses.create(model="any", input="Hi", max_output_tokens=5000)
    assert refused.value.code is None


@pytest.mark.parametrize("urls", [[], "localhost:8000", ["http://a/v1", "ftp://b"]])
async def test_a_base_url_that_is_none_is_refused(stage: Any, urls: Any) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        await stage.vllm_model(urls)


# ------------------------------------------------------------------------------------------------------------ replicas


async def test_rollouts_stay_with_a_replica_and_move_when_it_dies(stage: Any, client: AsyncOpenAI) -> None:
    (one, one_url), (two, two_url) = [await stage.vllm(FOUR) for _ in range(2)]
    model = at(client, await stage.vllm_model([one_url, two_url]))

    async def ask_all() -> None:
        for rollout in range(10):
            headers = {"x-ng-rollout-id": f"r{rollout}"}
            await model.responses.create(model="any", input=f"rollout {rollout}", extra_headers=headers)

    await ask_all()
    await ask_all()
    homes = [{asked["messages"][0]["content"] for _, asked in fake.asked} for fake in (one, two)]
    assert homes[0] and homes[1] and not homes[0] & homes[1]
    await stage.kill(one_url)
    await ask_all()
    assert {asked["messages"][0]["content"] for _, asked in two.asked} == homes[0] | homes[1]


# ------------------------------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize("said", [FOUR, CALLING, Said("Adding.", "Hm.", [("add", "{}")]), Said("")])
@pytest.mark.parametrize("tokens", [False, True])
async def test_a_streamed_response_ends_as_the_whole_one(
    stage: Any, client: AsyncOpenAI, said: Said, tokens: bool
) -> None:
    _, url = await stage.vllm(said)
    settings = {"return_token_id_information": True, "token_mode": "pass_through"} if tokens else {}
    model = at(client, await stage.vllm_model(url, **settings))
    whole = await model.responses.create(model="any", input="2 + 2?", tools=[TOOL])
    async with model.responses.stream(model="any", input="2 + 2?", tools=[TOOL]) as stream:
        kinds = [event.type async for event in stream]
        last = await stream.get_final_response()
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert without_ids(last.output) == without_ids(whole.output)


async def test_a_stream_tells_every_piece_as_it_comes(stage: Any, client: AsyncOpenAI) -> None:
    said = Said("Adding.", "Hm.", [("add", '{"a": 2}')])
    _, url = await stage.vllm(said)
    model = at(client, await stage.vllm_model(url))
    told: dict[str, str] = {}
    numbers = []
    async for event in await model.responses.create(model="any", input="2 + 2?", tools=[TOOL], stream=True):
        numbers.append(event.sequence_number)
        if event.type.endswith(".delta"):
            told[event.type] = told.get(event.type, "") + event.delta
    assert told == {
        "response.reasoning_summary_text.delta": "Hm.",
        "response.output_text.delta": "Adding.",
        "response.function_call_arguments.delta": '{"a": 2}',
    }
    assert numbers == list(range(len(numbers)))


async def test_a_chat_stream_is_passed_on(stage: Any, client: AsyncOpenAI) -> None:
    _, url = await stage.vllm(CALLING)
    model = at(client, await stage.vllm_model(url, return_token_id_information=True))
    async with model.chat.completions.stream(model="any", messages=[{"role": "user", "content": "2 + 2?"}]) as stream:
        async for _ in stream:
            pass
        completion = await stream.get_final_completion()
    calls = completion.choices[0].message.tool_calls
    assert calls is not None
    assert [call.function.arguments for call in calls] == ['{"a": 2}', '{"a": 3}']


async def test_a_stream_that_breaks_off_says_so(stage: Any, client: AsyncOpenAI) -> None:
    from starlette.responses import StreamingResponse

    async def broken() -> AsyncIterator[bytes]:
        yield b'data: {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"content": "It is"}}]}\n\n'
        yield b'data: {"error": {"message": "EngineCore died", "code": 500}}\n\n'

    endpoint = await stage.endpoint(lambda _: StreamingResponse(broken(), media_type="text/event-stream"))
    model = at(client, await stage.vllm_model(endpoint.url))
    events = [event async for event in await model.responses.create(model="any", input="2 + 2?", stream=True)]
    assert events[-1].type == "response.failed"
    assert "EngineCore died" in events[-1].response.error.message
