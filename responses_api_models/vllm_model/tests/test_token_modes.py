"""Token modes of vllm_model: prompts built here and sent as ids, or messages to a trainer's endpoint that corrects."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, BadRequestError

from nemo_gym.errors import ConfigError
from nemo_gym.upstream.fake_vllm import END, Said, ids_of

Json = dict[str, Any]
TOOL: Any = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {"a": {}}}}
CALLING = Said("Adding.", reasoning="Hm.", calls=[("add", '{"a": 2}')])
FOUR = Said("It is 4.", reasoning="2 + 2")
IMAGE: Any = [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA"}]}]
CHAT, COMPLETE, GENERATE, RENDER, DERENDER, TOKENIZE = (
    "/v1/chat/completions",
    "/v1/completions",
    "/inference/v1/generate",
    "/v1/chat/completions/render",
    "/v1/chat/completions/derender",
    "/tokenize",
)
both_vllms = pytest.mark.parametrize("scale_out", [False, True], ids=["completions", "scale_out"])
both_ways = pytest.mark.parametrize("by_id", [False, True], ids=["whole_conversation", "previous_response_id"])


@pytest.fixture
async def client() -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key="none", base_url="http://nobody", max_retries=0) as client:
        yield client


class Conversation:
    """Goes on with what the model answered, in one rollout."""

    def __init__(self, client: AsyncOpenAI, url: str, *, by_id: bool = False, rollout: str = "r1") -> None:
        self.client = client.with_options(base_url=f"{url}/v1", default_headers={"x-ng-rollout-id": rollout})
        self.by_id = by_id
        self.items: list[Json] = []
        self.last_id: str | None = None
        self.calls: list[Json] = []
        """The item with tokens of each answer, its prompt as a whole."""

    async def say(self, *items: Json, **params: Any) -> Any:
        asked: Any = list(items) if self.last_id and self.by_id else [*self.items, *items]
        if self.last_id and self.by_id:
            params["previous_response_id"] = self.last_id
        answer = await self.client.responses.create(model="any", input=asked, **params)
        output = [item.model_dump(exclude_none=True) for item in answer.output]
        self.items += [*items, *output]
        self.last_id = answer.id
        last = dict(output[-1])
        if "prompt_token_ids_kept" in last:
            seen = self.calls[-1]["prompt_token_ids"] + self.calls[-1]["generation_token_ids"]
            last["prompt_token_ids"] = seen[: last["prompt_token_ids_kept"]] + last["prompt_token_ids_added"]
        self.calls.append(last)
        return answer

    def check_one_sequence(self) -> None:
        """Each prompt is the one before, what was sampled on it, and more."""
        for before, call in zip(self.calls, self.calls[1:], strict=False):
            seen = before["prompt_token_ids"] + before["generation_token_ids"]
            assert call["prompt_token_ids"][: len(seen)] == seen
            assert len(call["prompt_token_ids"]) > len(seen)


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def result(call_id: str, output: str) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def in_turn(*said: Said) -> Callable[[Json], Said]:
    answers = iter(said)
    return lambda _: next(answers)


def paths(fake: Any) -> list[str]:
    return [path for path, _ in fake.asked]


def asked_at(fake: Any, path: str) -> list[Json]:
    return [body for at, body in fake.asked if at == path]


async def ids_stage(stage: Any, said: Any, *, scale_out: bool = False, **settings: Any) -> tuple[Any, str]:
    """A fake vLLM, and the URL of a model server that sends it ids."""
    fake, url = await stage.vllm(said, scale_out=scale_out)
    return fake, await stage.vllm_model(url, return_token_id_information=True, token_mode="ids", **settings)


# ----------------------------------------------------------------------------------------------------------------- ids


@both_vllms
@both_ways
async def test_prompts_go_on_id_by_id_although_the_template_drops_reasoning(
    stage: Any, client: AsyncOpenAI, scale_out: bool, by_id: bool
) -> None:
    turns = 12
    fake, model = await ids_stage(stage, in_turn(*[CALLING] * turns), scale_out=scale_out)
    talk = Conversation(client, model, by_id=by_id)
    answer = await talk.say(user("Go."), tools=[TOOL])
    for turn in range(turns - 1):
        [call] = [item for item in answer.output if item.type == "function_call"]
        answer = await talk.say(result(call.call_id, f"{turn}"), tools=[TOOL])
    talk.check_one_sequence()
    assert [item["generation_token_ids"] for item in talk.calls] == [ids_of(CALLING.sampled)] * turns
    sent = asked_at(fake, GENERATE if scale_out else COMPLETE)
    assert [body["token_ids" if scale_out else "prompt"] for body in sent] == [
        call["prompt_token_ids"] for call in talk.calls
    ]
    assert CHAT not in paths(fake)


@both_vllms
async def test_an_answers_reasoning_text_and_calls_are_read(stage: Any, client: AsyncOpenAI, scale_out: bool) -> None:
    _, model = await ids_stage(stage, lambda _: CALLING, scale_out=scale_out)
    answer = await Conversation(client, model).say(user("Go."), tools=[TOOL])
    thought, text, call = answer.output
    assert thought.summary[0].text == "Hm."
    assert text.content[0].text == "Adding."
    assert (call.name, json.loads(call.arguments)) == ("add", {"a": 2})


@both_vllms
async def test_a_stop_string_is_in_the_ids_and_not_in_the_text(
    stage: Any, client: AsyncOpenAI, scale_out: bool
) -> None:
    said = Said("It is 4", stop_string=".\n")
    _, model = await ids_stage(stage, lambda _: said, scale_out=scale_out)
    talk = Conversation(client, model)
    answer = await talk.say(user("2 + 2?"), extra_body={"stop": [".\n"]})
    assert answer.output_text == "It is 4"
    assert talk.calls[0]["generation_token_ids"] == ids_of("It is 4.\n")
    assert answer.status == "completed"


@both_vllms
async def test_an_answer_that_was_cut_has_no_end_token(stage: Any, client: AsyncOpenAI, scale_out: bool) -> None:
    said = Said("It is", finish_reason="length")
    _, model = await ids_stage(stage, lambda _: said, scale_out=scale_out)
    talk = Conversation(client, model)
    answer = await talk.say(user("2 + 2?"), max_output_tokens=5)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert (answer.output_text, talk.calls[0]["generation_token_ids"]) == ("It is", ids_of("It is"))
    await talk.say(user("Go on."))
    talk.check_one_sequence()


@both_vllms
@pytest.mark.parametrize("said", [Said(""), Said("", finish_reason="length")], ids=["end_token_alone", "nothing"])
async def test_an_empty_answer_is_an_answer(stage: Any, client: AsyncOpenAI, said: Said, scale_out: bool) -> None:
    _, model = await ids_stage(stage, lambda _: said, scale_out=scale_out)
    talk = Conversation(client, model)
    answer = await talk.say(user("2 + 2?"))
    assert answer.output_text == ""
    assert talk.calls[0]["generation_token_ids"] == ids_of(said.sampled)
    await talk.say(user("Well?"))


@both_vllms
async def test_a_prompt_that_does_not_fit_is_refused_before_anything_is_sampled(
    stage: Any, client: AsyncOpenAI, scale_out: bool
) -> None:
    fake, model = await ids_stage(stage, lambda _: FOUR, scale_out=scale_out)
    with pytest.raises(BadRequestError) as refused:
        await Conversation(client, model).say(user("x" * 2048))
    assert refused.value.code == "context_length_exceeded"
    assert not {COMPLETE, GENERATE} & set(paths(fake))


@both_vllms
async def test_an_answers_length_is_what_the_context_has_left(stage: Any, client: AsyncOpenAI, scale_out: bool) -> None:
    fake, model = await ids_stage(stage, lambda _: FOUR, scale_out=scale_out)
    talk = Conversation(client, model)
    await talk.say(user("x" * 2000))
    left = 2048 - len(talk.calls[0]["prompt_token_ids"])
    [sent] = asked_at(fake, GENERATE if scale_out else COMPLETE)
    assert (sent["sampling_params"] if scale_out else sent)["max_tokens"] == left


@both_vllms
async def test_the_same_request_again_is_answered_with_what_was_recorded(
    stage: Any, client: AsyncOpenAI, scale_out: bool
) -> None:
    fake, model = await ids_stage(stage, in_turn(FOUR, CALLING), scale_out=scale_out)
    first, again = Conversation(client, model), Conversation(client, model)
    answer, same = await first.say(user("2 + 2?")), await again.say(user("2 + 2?"))
    assert answer.model_dump() == same.model_dump()
    assert len(asked_at(fake, GENERATE if scale_out else COMPLETE)) == 1


async def test_sampling_parameters_go_to_the_completions_api(stage: Any, client: AsyncOpenAI) -> None:
    fake, model = await ids_stage(stage, lambda _: FOUR, extra_body={"top_k": 20, "temperature": 1.0})
    extra = {"min_p": 0.1, "seed": 3, "logit_bias": {"5": 1}, "stop": ["!"], "presence_penalty": 0.5}
    await Conversation(client, model).say(
        user("Hi"), temperature=0.5, top_p=0.9, max_output_tokens=9, tools=[TOOL], extra_body=extra
    )
    sent = asked_at(fake, COMPLETE)[-1]
    wanted = {**extra, "temperature": 0.5, "top_p": 0.9, "top_k": 20, "max_tokens": 9, "model": "tiny"}
    assert {name: sent[name] for name in wanted} == wanted
    assert not {"messages", "tools", "tool_choice", "max_completion_tokens"} & sent.keys()


async def test_vllm_is_asked_once_what_parameters_mean_that_do_not_change(stage: Any, client: AsyncOpenAI) -> None:
    fake, model = await ids_stage(stage, lambda _: FOUR, scale_out=True)
    for seed in range(3):
        await Conversation(client, model, rollout=f"r{seed}").say(
            user(f"{seed}"), temperature=0.5, tools=[TOOL], max_output_tokens=5 + seed, extra_body={"seed": seed}
        )
    assert len(asked_at(fake, RENDER)) == 1
    sent = [body["sampling_params"] for body in asked_at(fake, GENERATE)]
    assert [(one["temperature"], one["seed"], one["max_tokens"]) for one in sent] == [
        (0.5, seed, 5 + seed) for seed in range(3)
    ]


@pytest.mark.parametrize(("processed", "temperature"), [(True, 0.5), (False, 1.0), (False, 0.5)])
async def test_log_probs_that_leave_the_temperature_out_are_warned_of(
    stage: Any, client: AsyncOpenAI, caplog: pytest.LogCaptureFixture, processed: bool, temperature: float
) -> None:
    _, url = await stage.vllm(FOUR, processed_logprobs=processed)
    talk = Conversation(client, await stage.vllm_model(url, return_token_id_information=True, token_mode="ids"))
    for text in ("Hi", "Ho"):
        await talk.say(user(text), temperature=temperature)
    warned = [record for record in caplog.records if "--logprobs-mode processed_logprobs" in record.getMessage()]
    assert len(warned) == (not processed and temperature != 1)


async def test_log_probs_with_text_are_given_when_asked_for(stage: Any, client: AsyncOpenAI) -> None:
    for scale_out in (False, True):
        _, model = await ids_stage(stage, lambda _: Said("4"), scale_out=scale_out)
        answer = await client.with_options(base_url=f"{model}/v1").chat.completions.create(
            model="any", messages=[{"role": "user", "content": "2 + 2?"}], logprobs=True
        )
        [choice] = answer.choices
        assert choice.logprobs is not None and choice.logprobs.content is not None
        assert [token.token for token in choice.logprobs.content] == ["4", END]


async def test_a_forced_call_needs_vllms_own_grammar(stage: Any, client: AsyncOpenAI) -> None:
    forced: Any = {"type": "function", "name": "add"}
    fake, model = await ids_stage(stage, lambda _: CALLING, scale_out=True)
    await Conversation(client, model).say(user("Go."), tools=[TOOL], tool_choice=forced)
    [sent] = asked_at(fake, GENERATE)
    assert sent["sampling_params"]["structured_outputs"] == {"structural_tag": "{}"}
    _, model = await ids_stage(stage, lambda _: CALLING)
    with pytest.raises(BadRequestError, match="--enable-scale-out"):
        await Conversation(client, model).say(user("Go."), tools=[TOOL], tool_choice=forced)


async def test_images_are_refused_where_prompts_are_ids(stage: Any, client: AsyncOpenAI) -> None:
    _, model = await ids_stage(stage, lambda _: FOUR)
    with pytest.raises(BadRequestError, match="pass_through"):
        await Conversation(client, model).say(*IMAGE)


async def test_vllms_refusal_keeps_its_status(stage: Any, client: AsyncOpenAI) -> None:
    from starlette.responses import JSONResponse

    endpoint = await stage.endpoint(lambda _: JSONResponse({"error": {"message": "no"}}, 401))
    model = await stage.vllm_model(endpoint.url, return_token_id_information=True, token_mode="ids")
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{model}/v1/responses", json={"input": "Hi"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (401, "no")


async def test_answers_tell_the_weights_that_vllm_or_a_trainer_names(stage: Any, client: AsyncOpenAI) -> None:
    _, model = await ids_stage(stage, lambda _: FOUR, scale_out=True)
    talk = Conversation(client, model)
    await talk.say(user("Hi"))
    assert talk.calls[0]["policy_version"] == 7
    _, model = await ids_stage(stage, lambda _: FOUR)
    talk = Conversation(client, model)
    await talk.say(user("Hi"))
    async with httpx.AsyncClient() as http:
        await http.post(f"{model}/policy_version", json={"policy_version": 3})
    await talk.say(user("Hi"))
    assert "policy_version" not in talk.calls[0]
    assert talk.calls[1]["policy_version"] == 3


async def test_an_older_vllm_names_sampled_ids_in_its_log_probs(stage: Any, client: AsyncOpenAI) -> None:
    _, url = await stage.vllm(FOUR, gives_token_ids=False)
    model = await stage.vllm_model(url, return_token_id_information=True, token_mode="ids")
    talk = Conversation(client, model)
    await talk.say(user("Hi"))
    assert talk.calls[0]["generation_token_ids"] == ids_of(FOUR.sampled)


# ------------------------------------------------------------------------------------------------- auto, pass_through


@both_ways
async def test_a_stock_endpoint_is_sent_ids_from_its_second_call_on(
    stage: Any, client: AsyncOpenAI, by_id: bool
) -> None:
    fake, url = await stage.vllm(FOUR)
    talk = Conversation(client, await stage.vllm_model(url, return_token_id_information=True), by_id=by_id)
    for _ in range(3):
        await talk.say(user("2 + 2?"))
    talk.check_one_sequence()
    assert [path for path in paths(fake) if path in (CHAT, COMPLETE)] == [CHAT, COMPLETE, COMPLETE]


async def test_a_model_server_that_starts_anew_in_a_rollout_makes_no_fork(stage: Any, client: AsyncOpenAI) -> None:
    fake, url = await stage.vllm(FOUR)
    talk = Conversation(client, await stage.vllm_model(url, return_token_id_information=True))
    await talk.say(user("2 + 2?"))
    anew = Conversation(client, await stage.vllm_model(url, return_token_id_information=True))
    anew.items, anew.calls = talk.items, talk.calls
    await anew.say(user("Sure?"))
    anew.check_one_sequence()
    assert paths(fake)[-1] == COMPLETE


@both_ways
@pytest.mark.parametrize("mode", ["auto", "pass_through"])
async def test_a_trainers_endpoint_gets_messages_and_the_last_answers_tokens(
    stage: Any, client: AsyncOpenAI, mode: str, by_id: bool
) -> None:
    fake, url = await stage.vllm(FOUR, corrects=True)
    model = await stage.vllm_model(url, return_token_id_information=True, token_mode=mode)
    talk = Conversation(client, model, by_id=by_id)
    for text in ("2 + 2?", "Sure?", "Really?"):
        await talk.say(user(text))
    talk.check_one_sequence()
    assert set(paths(fake)) == {CHAT}
    messages = fake.asked[-1][1]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2 + ["user"]
    names = ("prompt_token_ids", "generation_token_ids", "generation_log_probs")
    assert {name: messages[3][name] for name in names} == {name: talk.calls[1][name] for name in names}


async def test_a_rewritten_conversation_is_a_new_one_to_a_trainers_endpoint(stage: Any, client: AsyncOpenAI) -> None:
    """Else it would take what was rewritten for the beginning of the prompt."""
    fake, url = await stage.vllm(FOUR, corrects=True)
    model = await stage.vllm_model(url, return_token_id_information=True, token_mode="pass_through")
    talk = Conversation(client, model)
    await talk.say(user("2 + 2?"))
    talk.items[0] = user("In short: 4?")
    await talk.say(user("Sure?"))
    assert all("generation_token_ids" not in message for message in fake.asked[-1][1]["messages"])
    assert talk.calls[1]["prompt_token_ids"] == ids_of("user:In short: 4?\nassistant:It is 4.\nuser:Sure?\nassistant:")


async def test_the_same_request_again_is_not_sent_to_a_trainers_endpoint(stage: Any, client: AsyncOpenAI) -> None:
    fake, url = await stage.vllm(FOUR, corrects=True)
    model = await stage.vllm_model(url, return_token_id_information=True, token_mode="pass_through")
    answers = [await Conversation(client, model).say(user("2 + 2?")) for _ in range(2)]
    assert answers[0].id == answers[1].id
    assert len(fake.asked) == 1


async def test_capabilities_tell_whether_conversations_are_remembered(stage: Any) -> None:
    _, url = await stage.vllm(FOUR)
    async with httpx.AsyncClient() as http:
        for tokens in (False, True):
            model = await stage.vllm_model(url, return_token_id_information=tokens)
            capabilities = (await http.get(f"{model}/capabilities")).json()
            assert capabilities == {"continue_final_message": True, "previous_response_id": tokens}


@pytest.mark.parametrize("mode", ["ids", "pass_through"])
async def test_a_token_mode_without_tokens_is_refused(stage: Any, mode: str) -> None:
    with pytest.raises(ConfigError, match="needs `return_token_id_information: true`"):
        await stage.vllm_model("http://127.0.0.1:1/v1", token_mode=mode)
