"""torch_model over HTTP: both APIs, tools, tokens, refusals, new weights under load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")

from safetensors.torch import save, save_file  # noqa: E402

from nemo_gym.errors import ConfigError, LaunchError  # noqa: E402
from nemo_gym.serving.http import HttpClient  # noqa: E402
from nemo_gym.serving.http_response import HttpResponse  # noqa: E402
from nemo_gym.upstream.fake_endpoint import Stage  # noqa: E402
from responses_api_models.torch_model import engine  # noqa: E402
from responses_api_models.torch_model.app import TorchModel  # noqa: E402
from responses_api_models.torch_model.continuation import Continuation  # noqa: E402
from responses_api_models.torch_model.tests.tiny_policy import (  # noqa: E402
    CONTEXT,
    END,
    make_model,
    make_tokenizer,
    write_policy,
)

pytestmark = pytest.mark.training

Json = dict[str, Any]
TOKENIZER = make_tokenizer()
MODEL = make_model(TOKENIZER)
OTHER_MODEL = make_model(TOKENIZER, seed=1)
QUESTION = {"input": "Hello", "max_output_tokens": 30, "temperature": 0}
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage() as stage:
        yield stage


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


@pytest.fixture
async def url(stage: Stage, policy_folder: Path) -> str:
    return await stage.model(TorchModel, model_path=str(policy_folder))


@pytest.fixture
def continuations(monkeypatch: pytest.MonkeyPatch) -> list[Continuation]:
    """Every request that an engine takes from now on."""
    taken: list[Continuation] = []

    class Noted(Continuation):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            taken.append(self)

    monkeypatch.setattr(engine, "Continuation", Noted)
    return taken


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what a thread does sets no event
            await asyncio.sleep(0.005)


async def ask(
    http: HttpClient, url: str, body: Json = QUESTION, *, rollout: str = "r", path: str = "responses"
) -> Json:
    answer = await post(http, url, body, rollout=rollout, path=path)
    assert answer.ok, answer.text
    parsed: Json = answer.parse()
    return parsed


async def post(http: HttpClient, url: str, body: Json, *, rollout: str = "r", path: str = "responses") -> HttpResponse:
    headers = {"x-ng-rollout-id": rollout}
    return await http.request("POST", f"{url}/v1/{path}", json=body, headers=headers, timeout_s=60)


async def send_weights(http: HttpClient, url: str, weights: bytes, version: object) -> HttpResponse:
    target = f"{url}/update_weights?policy_version={version}"
    return await http.request("POST", target, body=weights, timeout_s=60)


async def version_of(http: HttpClient, url: str) -> object:
    return (await http.request("GET", f"{url}/policy_version", timeout_s=20)).parse()["policy_version"]


def greedy(model: Any, prompt: list[int], count: int) -> list[int]:
    """The likeliest continuation, by plain forward passes over all of it."""
    ids = list(prompt)
    while len(ids) - len(prompt) < count and (len(ids) == len(prompt) or ids[-1] != TOKENIZER.eos_token_id):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def plain_log_probs(model: Any, item: Json, temperature: float) -> list[float]:
    prompt, generated = item["prompt_token_ids"], item["generation_token_ids"]
    logits = model(torch.tensor([[*prompt, *generated]])).logits[0, len(prompt) - 1 : -1]
    log_probs = torch.log_softmax(logits / temperature, dim=-1)
    return [float(log_probs[place, token]) for place, token in enumerate(generated)]


# ----------------------------------------------------------------------------------------------------------- answers


async def test_a_response_is_the_models_own_likeliest_answer_with_its_tokens(http: HttpClient, url: str) -> None:
    answer = await ask(http, url)
    [*_, item] = answer["output"]
    prompt = TOKENIZER.encode(f"<|im_start|>user\nHello{END}\n<|im_start|>assistant\n")
    assert item["prompt_token_ids"] == prompt
    assert item["generation_token_ids"] == greedy(MODEL, prompt, 30)
    assert item["policy_version"] == 0
    assert answer["usage"]["input_tokens"] == len(prompt)
    assert answer["usage"]["output_tokens"] == len(item["generation_token_ids"])
    assert item["generation_log_probs"] == pytest.approx(plain_log_probs(MODEL, item, 1.0), abs=1e-5)


async def test_a_chat_completion_is_the_same_answer(http: HttpClient, url: str) -> None:
    chat = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 30, "temperature": 0, "logprobs": True}
    [choice] = (await ask(http, url, chat, path="chat/completions", rollout="chat"))["choices"]
    [*_, item] = (await ask(http, url))["output"]
    assert choice["message"]["generation_token_ids"] == item["generation_token_ids"]
    assert choice["message"]["content"] == item["content"][0]["text"]
    told = choice["logprobs"]["content"]
    assert [one["logprob"] for one in told] == choice["message"]["generation_log_probs"]


async def test_log_probs_are_at_the_temperature_that_was_asked_for(http: HttpClient, url: str) -> None:
    for number, temperature in enumerate([0.6, 1.0, 1.5]):
        body = {**QUESTION, "temperature": temperature, "top_p": 0.9}
        [*_, item] = (await ask(http, url, body, rollout=str(number)))["output"]
        assert item["generation_log_probs"] == pytest.approx(plain_log_probs(MODEL, item, temperature), abs=1e-5)


async def test_many_at_once_are_answered_each_by_its_own_seed(http: HttpClient, url: str) -> None:
    chat = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}

    async def one(seed: int, rollout: str) -> list[int]:
        body = {**chat, "seed": seed}
        [choice] = (await ask(http, url, body, path="chat/completions", rollout=rollout))["choices"]
        ids: list[int] = choice["message"]["generation_token_ids"]
        return ids

    together = await asyncio.gather(*(one(seed, f"together {seed}") for seed in range(40)))
    assert len({tuple(ids) for ids in together}) > 30
    for seed in range(0, 40, 13):
        assert await one(seed, f"alone {seed}") == together[seed]


async def test_a_conversation_extends_its_tokens(http: HttpClient, url: str) -> None:
    first = await ask(http, url, {**QUESTION, "temperature": 1, "max_output_tokens": 8})
    more = {"previous_response_id": first["id"], "input": "And now?", "max_output_tokens": 8}
    second = await ask(http, url, more)
    one, other = first["output"][-1], second["output"][-1]
    before = one["prompt_token_ids"] + one["generation_token_ids"]
    whole = before[: other["prompt_token_ids_kept"]] + other["prompt_token_ids_added"]
    assert whole[: len(before)] == before
    assert TOKENIZER.decode(whole).endswith(f"<|im_start|>user\nAnd now?{END}\n<|im_start|>assistant\n")
    item = {**other, "prompt_token_ids": whole}
    assert other["generation_log_probs"] == pytest.approx(plain_log_probs(MODEL, item, 1.0), abs=1e-5)


async def test_a_message_is_gone_on_with(http: HttpClient, url: str) -> None:
    said = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "I say", "annotations": []}],
    }
    body = {**QUESTION, "input": [{"role": "user", "content": "Hello"}, said], "continue_final_message": True}
    [*_, item] = (await ask(http, url, body))["output"]
    assert TOKENIZER.decode(item["prompt_token_ids"]).endswith("<|im_start|>assistant\nI say")


async def test_max_tokens_is_length_and_incomplete(http: HttpClient, url: str) -> None:
    answer = await ask(http, url, {**QUESTION, "max_output_tokens": 1})
    assert answer["status"] == "incomplete"
    assert len(answer["output"][-1]["generation_token_ids"]) == 1


async def test_a_stop_string_ends_the_text_before_it_and_the_ids_after_it(http: HttpClient, url: str) -> None:
    chat = {"messages": [{"role": "user", "content": "Hello"}], "temperature": 0, "max_tokens": 30}
    [whole] = (await ask(http, url, chat, path="chat/completions"))["choices"]
    stop = TOKENIZER.decode(whole["message"]["generation_token_ids"])[5:7]
    [cut] = (await ask(http, url, {**chat, "stop": [stop]}, path="chat/completions"))["choices"]
    assert cut["finish_reason"] == "stop"
    assert TOKENIZER.decode(cut["message"]["generation_token_ids"]).endswith(stop)
    assert stop not in cut["message"]["content"]


async def test_an_answer_that_is_empty_is_an_answer(http: HttpClient, stage: Stage, tmp_path: Path) -> None:
    """A model that ends at once: one token, no text."""
    folder = write_policy(tmp_path / "ending", tied=False)
    ending = make_model(TOKENIZER, tied=False)
    prompt = TOKENIZER.encode(f"<|im_start|>user\nHello{END}\n<|im_start|>assistant\n")
    ending.lm_head.weight.fill_(0)
    ending.lm_head.weight[TOKENIZER.eos_token_id] = ending.model(torch.tensor([prompt])).last_hidden_state[0, -1]
    ending.save_pretrained(folder)
    url = await stage.model(TorchModel, model_path=str(folder))
    answer = await ask(http, url)
    [item] = answer["output"]
    assert (answer["status"], item["content"][0]["text"]) == ("completed", "")
    assert item["generation_token_ids"] == [TOKENIZER.eos_token_id]


async def test_tools_stand_in_the_prompt(http: HttpClient, url: str) -> None:
    [*_, item] = (await ask(http, url, {**QUESTION, "tools": [TOOL]}))["output"]
    assert '"name": "look"' in TOKENIZER.decode(item["prompt_token_ids"])


async def test_template_arguments_reach_the_template(http: HttpClient, url: str) -> None:
    [*_, item] = (await ask(http, url, {**QUESTION, "chat_template_kwargs": {"prefill": "Well"}}))["output"]
    assert TOKENIZER.decode(item["prompt_token_ids"]).endswith("<|im_start|>assistant\nWell")


async def test_without_token_information_answers_carry_none(
    http: HttpClient, stage: Stage, policy_folder: Path
) -> None:
    url = await stage.model(TorchModel, model_path=str(policy_folder), return_token_id_information=False)
    [*_, item] = (await ask(http, url))["output"]
    assert "generation_token_ids" not in item


# ---------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_p": 0}, {"tool_choice": "required", "tools": [TOOL]}])
async def test_what_cannot_be_heeded_is_refused(http: HttpClient, url: str, wrong: Json) -> None:
    answer = await post(http, url, {**QUESTION, **wrong})
    assert answer.status in (400, 422)
    assert next(iter(wrong)) in answer.text


async def test_a_prompt_that_does_not_fit_has_its_own_code(http: HttpClient, url: str) -> None:
    answer = await post(http, url, {**QUESTION, "input": "x" * CONTEXT})
    assert (answer.status, answer.parse()["error"]["code"]) == (400, "context_length_exceeded")


async def test_an_answer_ends_where_the_context_does(http: HttpClient, stage: Stage, policy_folder: Path) -> None:
    url = await stage.model(TorchModel, model_path=str(policy_folder), context_length=60)
    chat = {"messages": [{"role": "user", "content": "Hello"}], "ignore_eos": True}
    [choice] = (await ask(http, url, chat, path="chat/completions"))["choices"]
    message = choice["message"]
    assert len(message["prompt_token_ids"]) + len(message["generation_token_ids"]) == 60
    assert choice["finish_reason"] == "length"


async def test_a_client_that_leaves_ends_its_request(
    http: HttpClient, stage: Stage, policy_folder: Path, continuations: list[Continuation]
) -> None:
    url = await stage.model(TorchModel, model_path=str(policy_folder), max_batch_size=1)
    endless = {"messages": [{"role": "user", "content": "Hello"}], "ignore_eos": True}
    leaving = [
        asyncio.create_task(post(http, url, endless, rollout=f"leaving {number}", path="chat/completions"))
        for number in range(10)
    ]
    await until(lambda: len(continuations) == 10)
    for task in leaving:
        task.cancel()
    await until(lambda: all(one.answer.done() for one in continuations))
    assert all(one.answer.cancelled() for one in continuations)
    answer = await ask(http, url, {**QUESTION, "max_output_tokens": 2}, rollout="staying")
    assert answer["output"][-1]["generation_token_ids"]


@pytest.mark.parametrize(
    ("missing", "message"), [("config.json", "no config.json"), ("chat_template.jinja", "no chat template")]
)
async def test_a_folder_that_cannot_be_served_is_told_at_the_start(
    stage: Stage, tmp_path: Path, missing: str, message: str
) -> None:
    folder = write_policy(tmp_path / "policy")
    (folder / missing).unlink()
    with pytest.raises(LaunchError, match=message):
        await stage.model(TorchModel, model_path=str(folder))


async def test_only_one_process_serves(stage: Stage, policy_folder: Path) -> None:
    with pytest.raises(ConfigError, match="num_workers"):
        await stage.model(TorchModel, model_path=str(policy_folder), num_workers=2)


# ------------------------------------------------------------------------------------------------------- new weights


async def test_requests_under_way_finish_on_the_old_weights_and_later_ones_begin_on_the_new(
    http: HttpClient, url: str, continuations: list[Continuation]
) -> None:
    new_weights = save(dict(OTHER_MODEL.model.state_dict(prefix="model.")))
    chat = {"temperature": 0, "max_tokens": 1000, "ignore_eos": True}

    async def one(number: int) -> Json:
        body = {**chat, "messages": [{"role": "user", "content": f"Question {number}"}]}
        [choice] = (await ask(http, url, body, rollout=f"{number}", path="chat/completions"))["choices"]
        message: Json = choice["message"]
        return message

    before = [asyncio.create_task(one(number)) for number in range(8)]
    await until(lambda: len(continuations) == 8 and all(one.policy_version is not None for one in continuations))
    answer = await send_weights(http, url, new_weights, 7)
    assert answer.status == 204, answer.text
    assert not all(task.done() for task in before)
    assert await version_of(http, url) == 7
    after = await asyncio.gather(*(one(number) for number in range(100, 108)))
    old = await asyncio.gather(*before)
    for messages, version, model in ((old, 0, MODEL), (after, 7, OTHER_MODEL)):
        for message in messages:
            assert message["policy_version"] == version
            prompt, generated = message["prompt_token_ids"], message["generation_token_ids"]
            assert generated[:40] == greedy_whatever_ends(model, prompt, 40)
            assert message["generation_log_probs"] == pytest.approx(plain_log_probs(model, message, 1.0), abs=1e-5)


def greedy_whatever_ends(model: Any, prompt: list[int], count: int) -> list[int]:
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


async def test_weights_from_a_folder_are_taken(http: HttpClient, url: str, tmp_path: Path) -> None:
    save_file(dict(OTHER_MODEL.model.state_dict(prefix="model.")), tmp_path / "model.safetensors")
    target = f"{url}/update_weights?policy_version=step-2&path={tmp_path}"
    assert (await http.request("POST", target, timeout_s=60)).status == 204
    [*_, item] = (await ask(http, url))["output"]
    assert item["policy_version"] == "step-2"
    assert item["generation_token_ids"] == greedy(OTHER_MODEL, item["prompt_token_ids"], 30)


def changed(name: str, tensor: Any) -> bytes:
    weights = dict(OTHER_MODEL.model.state_dict(prefix="model."))
    weights.pop(name, None)
    return save(weights if tensor is None else {**weights, name: tensor})


NORM = "model.norm.weight"
WRONG_WEIGHTS = {
    "missing": (changed(NORM, None), NORM),
    "unknown": (changed("module.norm.weight", torch.ones(64)), "module.norm.weight"),
    "shape": (changed(NORM, torch.ones(32)), "[32]"),
    "type": (changed(NORM, torch.ones(64, dtype=torch.int64)), "floating-point"),
    "not finite": (changed(NORM, torch.full((64,), torch.nan)), "finite"),
    "untied": (changed("lm_head.weight", torch.zeros(len(TOKENIZER), 64)), "differ"),
    "no file": (b"no weights at all", "no safetensors"),
    "empty": (b"", "no weights came"),
}


@pytest.mark.parametrize(("weights", "why"), WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS)
async def test_weights_that_do_not_fit_change_nothing(http: HttpClient, url: str, weights: bytes, why: str) -> None:
    before = await ask(http, url)
    answer = await send_weights(http, url, weights, 1)
    assert answer.status == 422
    assert why in answer.parse()["error"]["message"]
    assert await version_of(http, url) == 0
    after = await ask(http, url, rollout="other")
    assert after["output"][-1]["generation_token_ids"] == before["output"][-1]["generation_token_ids"]
    assert after["output"][-1]["policy_version"] == 0


async def test_a_path_without_weights_is_refused(http: HttpClient, url: str, tmp_path: Path) -> None:
    target = f"{url}/update_weights?policy_version=1&path={tmp_path}"
    answer = await http.request("POST", target, timeout_s=60)
    assert (answer.status, json.loads(answer.body)["error"]["type"]) == (422, "weights_refused")
