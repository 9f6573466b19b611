"""openai_model in front of fake endpoints, all on real sockets: translation, refusals, replicas, secrets, streams."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.responses import Response, StreamingResponse

from nemo_gym.errors import ConfigError, DeadlineExceeded
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.http_response import HttpResponse

Json = dict[str, Any]
QUESTION = {"input": "What is 2 + 2?", "model": "any", "temperature": 0.5}


def as_json(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(json.dumps(body), status, headers={key.replace("_", "-"): v for key, v in headers.items()})


def responses_answer(_: Json) -> Response:
    content = [{"type": "output_text", "text": "4", "annotations": []}]
    output = [{"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}]
    return as_json({"id": "resp_1", "created_at": 1, "model": "real", "output": output, "unknown_field": [1]})


def chat_answer(_: Json) -> Response:
    message = {"role": "assistant", "content": "4", "reasoning_content": "2 + 2"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return as_json({"id": "chatcmpl-1", "created": 1, "model": "real", "choices": choices})


def failing(body: Json, status: int, **headers: str) -> Callable[[Json], Response]:
    return lambda _: as_json(body, status, **headers)


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


async def ask(
    http: HttpClient, url: str, body: Json = QUESTION, *, rollout: str = "r", path: str = "responses"
) -> HttpResponse:
    headers = {"x-ng-rollout-id": rollout}
    return await http.request("POST", f"{url}/v1/{path}", json=body, headers=headers, timeout_s=20)


# ------------------------------------------------------------------------------------------------------ what is asked


async def test_a_responses_answer_is_passed_on_byte_for_byte_and_the_model_is_named(
    stage: Any, http: HttpClient
) -> None:
    endpoint = await stage.endpoint(responses_answer)
    url = await stage.openai_model(endpoint.url, extra_body={"top_k": 20, "temperature": 1.0})
    answer = await ask(http, url, {**QUESTION, "tools": [], "top_p": None})
    assert answer.body == responses_answer({}).body
    assert endpoint.asked == [{"input": "What is 2 + 2?", "model": "real", "temperature": 0.5, "top_k": 20}]
    assert endpoint.paths == ["/v1/responses"]
    assert endpoint.headers[0]["authorization"] == "Bearer sk-secret"


async def test_extras_in_metadata_reach_the_endpoint_as_parameters(stage: Any, http: HttpClient) -> None:
    endpoint = await stage.endpoint(responses_answer)
    url = await stage.openai_model(endpoint.url)
    await ask(http, url, {**QUESTION, "metadata": {"extra_body": '{"min_p": 0.1, "temperature": 0.9}'}})
    assert (endpoint.asked[0]["min_p"], endpoint.asked[0]["temperature"]) == (0.1, 0.9)
    assert "metadata" not in endpoint.asked[0]
    assert (await ask(http, url, {**QUESTION, "metadata": {"extra_body": "{"}})).status == 400


async def test_a_chat_endpoint_answers_responses_requests(stage: Any, http: HttpClient) -> None:
    endpoint = await stage.endpoint(chat_answer)
    url = await stage.openai_model(endpoint.url, api="chat_completions", max_tokens_field="max_tokens")
    answer = (await ask(http, url, {**QUESTION, "instructions": "Be brief.", "max_output_tokens": 5})).parse()
    assert [item["type"] for item in answer["output"]] == ["reasoning", "message"]
    assert endpoint.paths == ["/v1/chat/completions"]
    asked = endpoint.asked[0]
    assert [message["role"] for message in asked["messages"]] == ["system", "user"]
    assert (asked["model"], asked["max_tokens"], asked["temperature"]) == ("real", 5, 0.5)
    assert "tools" not in asked


async def test_chat_requests_reach_either_kind_of_endpoint(stage: Any, http: HttpClient) -> None:
    body = {"messages": [{"role": "user", "content": "2 + 2?"}]}
    chat = await stage.endpoint(chat_answer)
    passed = await ask(http, await stage.openai_model(chat.url, api="chat_completions"), body, path="chat/completions")
    assert passed.body == chat_answer({}).body
    responses = await stage.endpoint(responses_answer)
    translated = await ask(http, await stage.openai_model(responses.url), body, path="chat/completions")
    assert translated.parse()["choices"][0]["message"]["content"] == "4"
    assert responses.asked[0]["input"][0]["content"] == "2 + 2?"


async def test_what_cannot_be_translated_is_refused_before_it_is_sent(stage: Any, http: HttpClient) -> None:
    endpoint = await stage.endpoint(chat_answer)
    url = await stage.openai_model(endpoint.url, api="chat_completions")
    answer = await ask(http, url, {**QUESTION, "tools": [{"type": "web_search"}]})
    assert answer.status == 400
    assert "web_search" in answer.text
    assert endpoint.asked == []


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("api", ["responses", "chat_completions"])
@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "This model's maximum context length is 8 tokens.", "code": 400}},
        {"error": {"message": "Too long.", "code": "context_length_exceeded"}},
        {"object": "error", "message": "This model's maximum context length is 8 tokens.", "code": 400},
    ],
)
async def test_a_context_overflow_is_said_in_one_way(stage: Any, http: HttpClient, api: str, error: Json) -> None:
    endpoint = await stage.endpoint(failing(error, 400))
    answer = await ask(http, await stage.openai_model(endpoint.url, api=api))
    assert answer.status == 400
    assert answer.parse()["error"]["code"] == "context_length_exceeded"
    assert len(endpoint.asked) == 1


async def test_other_errors_keep_status_and_message_and_never_show_the_key(stage: Any, http: HttpClient) -> None:
    endpoint = await stage.endpoint(failing({"error": {"message": "Incorrect API key: sk-secret."}}, 401))
    answer = await ask(http, await stage.openai_model(endpoint.url))
    assert answer.status == 401
    assert "Incorrect API key: ***" in answer.text
    assert "sk-secret" not in answer.text


async def test_an_error_without_json_is_quoted(stage: Any, http: HttpClient) -> None:
    endpoint = await stage.endpoint(lambda _: Response("<html>Bad gateway</html>", 502))
    answer = await ask(http, await stage.openai_model(endpoint.url))
    assert (answer.status, "Bad gateway" in answer.text) == (502, True)
    assert len(endpoint.asked) == 1


async def test_an_answer_of_the_wrong_shape_is_a_bad_gateway(stage: Any, http: HttpClient) -> None:
    endpoint = await stage.endpoint(lambda _: as_json({"id": "x", "created": 1, "model": "m", "choices": []}))
    answer = await ask(http, await stage.openai_model(endpoint.url, api="chat_completions"))
    assert (answer.status, "choices" in answer.text) == (502, True)


async def test_a_rate_limit_is_waited_for_as_long_as_the_endpoint_asks(stage: Any, http: HttpClient) -> None:
    answers = [failing({}, 429, retry_after="0.2"), failing({}, 503, retry_after="0"), responses_answer]
    times: list[float] = []

    def answer_in_turn(body: Json) -> Response:
        times.append(asyncio.get_running_loop().time())
        return answers.pop(0)(body)

    endpoint = await stage.endpoint(answer_in_turn)
    assert (await ask(http, await stage.openai_model(endpoint.url))).ok
    assert len(endpoint.asked) == 3
    assert times[1] - times[0] >= 0.2


async def test_a_rate_limit_without_end_is_passed_on_after_the_last_attempt(stage: Any, http: HttpClient) -> None:
    endpoint = await stage.endpoint(failing({"error": {"message": "slow down"}}, 429, retry_after="0"))
    answer = await ask(http, await stage.openai_model(endpoint.url, max_attempts=3))
    assert (answer.status, answer.headers["retry-after"], len(endpoint.asked)) == (429, "0", 3)


async def test_a_rate_limit_longer_than_the_bound_is_passed_on_at_once(stage: Any, http: HttpClient) -> None:
    endpoint = await stage.endpoint(failing({}, 429, retry_after="3600"))
    answer = await ask(http, await stage.openai_model(endpoint.url, max_retry_s=1))
    assert (answer.status, len(endpoint.asked)) == (429, 1)


async def test_a_pause_that_one_rollout_is_asked_for_is_kept_by_all(stage: Any, http: HttpClient) -> None:
    times: list[float] = []

    def answer_in_turn(body: Json) -> Response:
        times.append(asyncio.get_running_loop().time())
        return as_json({}, 429, retry_after="0.4") if len(times) == 1 else responses_answer(body)

    endpoint = await stage.endpoint(answer_in_turn)
    url = await stage.openai_model(endpoint.url)
    refused = asyncio.create_task(ask(http, url, rollout="first"))
    while not times:  # noqa: ASYNC110  another server's state has no event to wait for
        await asyncio.sleep(0.01)
    answers = await asyncio.gather(refused, *(ask(http, url, rollout=f"r{number}") for number in range(5)))
    assert all(answer.ok for answer in answers)
    assert len(times) == 7 and min(times[1:]) - times[0] >= 0.35


async def test_during_a_pause_too_long_to_wait_for_nobody_asks_the_endpoint(stage: Any, http: HttpClient) -> None:
    endpoint = await stage.endpoint(failing({}, 429, retry_after="3600"))
    url = await stage.openai_model(endpoint.url, timeout_s=60)
    for stream in (False, False, True):
        answer = await ask(http, url, {**QUESTION, "stream": stream}, rollout=f"r{stream}")
        assert answer.status == 429 and int(answer.headers["retry-after"]) > 60
    assert len(endpoint.asked) == 1
    assert "asked to be left alone for 1" in answer.text


async def test_an_endpoint_that_never_answers_is_a_gateway_timeout(stage: Any, http: HttpClient) -> None:
    endpoint = await stage.endpoint(lambda _: Response(status_code=0))
    answer = await ask(http, await stage.openai_model(endpoint.url, timeout_s=0.2))
    assert answer.status == 504
    assert len(endpoint.asked) == 1


async def test_when_the_client_goes_the_endpoints_request_ends_too(stage: Any, http: HttpClient) -> None:
    endpoint = await stage.endpoint(lambda _: Response(status_code=0))
    url = await stage.openai_model(endpoint.url)
    with pytest.raises(DeadlineExceeded):
        await http.request("POST", f"{url}/v1/responses", json=QUESTION, timeout_s=0.3)
    await asyncio.wait_for(endpoint.gone.wait(), timeout=10)


async def test_waiting_for_a_free_slot_ends_at_the_deadline(stage: Any, http: HttpClient) -> None:
    endpoint = await stage.endpoint(lambda _: Response(status_code=0))
    url = await stage.openai_model(endpoint.url, max_concurrent_requests=1, timeout_s=0.5)
    answers = await asyncio.gather(*(ask(http, url) for _ in range(3)))
    assert [answer.status for answer in answers] == [504, 504, 504]
    assert any("max_concurrent_requests" in answer.text for answer in answers)


async def test_no_more_requests_than_allowed_are_sent_at_once(stage: Any, http: HttpClient) -> None:
    at_once, most = 0, 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        at_once -= 1
        yield responses_answer({}).body

    endpoint = await stage.endpoint(lambda _: StreamingResponse(counted()))
    url = await stage.openai_model(endpoint.url, max_concurrent_requests=2)
    await asyncio.gather(*(ask(http, url) for _ in range(8)))
    assert (len(endpoint.asked), most) == (8, 2)


async def test_the_number_of_requests_at_a_time_is_seen_and_changed_while_they_wait(
    stage: Any, http: HttpClient
) -> None:
    endpoint = await stage.endpoint(lambda _: Response(status_code=0))
    url = await stage.openai_model(endpoint.url, max_concurrent_requests=1)

    async def seen(method: str = "GET", body: Json | None = None) -> Json:
        report = (await http.request(method, f"{url}/concurrency", json=body)).parse()
        [load] = report["endpoints"]
        numbers = {key: load[key] for key in ("limit", "in_flight", "waiting")}
        return {"allowed": report["max_concurrent_requests"], **numbers}

    asking = [asyncio.create_task(ask(http, url, rollout=f"r{number}")) for number in range(5)]
    while (await seen())["waiting"] < 4:  # noqa: ASYNC110  another server's state has no event to wait for
        await asyncio.sleep(0.01)
    assert await seen() == {"allowed": 1, "limit": 1, "in_flight": 1, "waiting": 4}
    shown = await seen("POST", {"max_concurrent_requests": 3})
    assert shown == {"allowed": 3, "limit": 3, "in_flight": 3, "waiting": 2}
    shown = await seen("POST", {"max_concurrent_requests": "auto"})
    assert shown == {"allowed": "auto", "limit": 4, "in_flight": 4, "waiting": 1}
    shown = await seen("POST", {"max_concurrent_requests": None})
    assert shown == {"allowed": None, "limit": None, "in_flight": 5, "waiting": 0}
    for each in asking:
        each.cancel()
    await asyncio.wait(asking)


@pytest.mark.parametrize("body", [{"max_concurrent_requests": 0}, {"max_concurrent_requests": "all"}, {"limit": 3}, {}])
async def test_a_number_that_is_none_is_refused(body: Json, stage: Any, http: HttpClient) -> None:
    endpoint = await stage.endpoint(responses_answer)
    url = await stage.openai_model(endpoint.url, max_concurrent_requests="auto")
    answer = await http.request("POST", f"{url}/concurrency", json=body)
    assert answer.status == 422 and "max_concurrent_requests" in answer.text
    assert len(answer.parse()["error"]["mistakes"]) <= 2
    assert (await http.request("GET", f"{url}/concurrency")).parse()["max_concurrent_requests"] == "auto"


async def test_with_auto_an_endpoint_that_refuses_gets_about_as_much_as_it_takes(stage: Any, http: HttpClient) -> None:
    at_once, refused = 0, 0

    async def work() -> AsyncIterator[bytes]:
        nonlocal at_once
        await asyncio.sleep(0.01)
        at_once -= 1
        yield responses_answer({}).body

    def answer(_: Json) -> Response:
        nonlocal at_once, refused
        if at_once >= 5:
            refused += 1
            return as_json({}, 429)
        at_once += 1
        return StreamingResponse(work())

    endpoint = await stage.endpoint(answer)
    url = await stage.openai_model(endpoint.url, max_concurrent_requests="auto")
    answers = await asyncio.gather(*(ask(http, url, rollout=f"r{number}") for number in range(300)))
    assert all(answer.ok for answer in answers)
    assert refused < 30


# ----------------------------------------------------------------------------------------------------------- replicas


async def test_a_rollout_stays_with_one_replica_and_rollouts_spread(stage: Any, http: HttpClient) -> None:
    replicas = [await stage.endpoint(responses_answer) for _ in range(3)]
    url = await stage.openai_model([replica.url for replica in replicas])
    for rollout in range(30):
        before = [len(replica.asked) for replica in replicas]
        for _ in range(2):
            await ask(http, url, rollout=f"r{rollout}")
        assert Counter(len(replica.asked) - b for replica, b in zip(replicas, before, strict=True)) == {2: 1, 0: 2}
    assert all(replica.asked for replica in replicas)


async def test_without_rollout_id_the_session_stays_with_one_replica(stage: Any, http: HttpClient) -> None:
    replicas = [await stage.endpoint(responses_answer) for _ in range(3)]
    url = await stage.openai_model([replica.url for replica in replicas])
    cookies = (await http.request("POST", f"{url}/v1/responses", json=QUESTION)).cookies
    for _ in range(5):
        await http.request("POST", f"{url}/v1/responses", json=QUESTION, cookies=cookies)
    assert sorted(len(replica.asked) for replica in replicas) == [0, 0, 6]


async def test_when_a_replica_dies_its_rollouts_move_and_no_request_fails(stage: Any, http: HttpClient) -> None:
    replicas = [await stage.endpoint(responses_answer) for _ in range(2)]
    url = await stage.openai_model([replica.url for replica in replicas])
    for rollout in range(12):
        await ask(http, url, rollout=f"r{rollout}")
    assert all(replica.asked for replica in replicas)
    await stage.kill(replicas[0].url)
    before = len(replicas[1].asked)
    answers = [await ask(http, url, rollout=f"r{rollout}") for rollout in range(12)]
    assert all(answer.ok for answer in answers)
    assert len(replicas[1].asked) - before == 12


async def test_where_nobody_answers_the_error_says_so_after_the_last_attempt(stage: Any, http: HttpClient) -> None:
    replicas = [await stage.endpoint(responses_answer) for _ in range(2)]
    url = await stage.openai_model([replica.url for replica in replicas], max_attempts=3)
    for replica in replicas:
        await stage.kill(replica.url)
    answer = await ask(http, url)
    assert (answer.status, answer.parse()["error"]["type"]) == (502, "Unreachable")
    assert "3 attempts" in answer.text


@pytest.mark.parametrize(("resend", "asked", "status"), [(False, 1, 502), (True, 2, 200)])
async def test_a_lost_request_is_sent_again_only_when_asked(
    stage: Any, http: HttpClient, resend: bool, asked: int, status: int
) -> None:
    total = 0

    def cut_the_first(body: Json) -> Response:
        nonlocal total
        total += 1
        return Response(b"{", headers={"content-length": "100"}) if total == 1 else responses_answer(body)

    replicas = [await stage.endpoint(cut_the_first) for _ in range(2)]
    url = await stage.openai_model([replica.url for replica in replicas], resend_lost_requests=resend)
    assert (await ask(http, url)).status == status
    assert (total, [len(replica.asked) for replica in replicas].count(1)) == (asked, asked)


# ------------------------------------------------------------------------------------------------------------ streams


async def test_a_stream_is_passed_on_as_it_comes(stage: Any, http: HttpClient) -> None:
    events = [b'data: {"type": "response.created"}\n\n', b"data: [DONE]\n\n"]

    async def stream() -> AsyncIterator[bytes]:
        for event in events:
            yield event

    endpoint = await stage.endpoint(lambda _: StreamingResponse(stream(), media_type="text/event-stream"))
    url = await stage.openai_model(endpoint.url)
    answer = await ask(http, url, {**QUESTION, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body == b"".join(events)
    assert endpoint.asked[0]["stream"] is True


async def test_a_stream_that_is_refused_is_an_ordinary_error(stage: Any, http: HttpClient) -> None:
    endpoint = await stage.endpoint(failing({"error": {"message": "no such model"}}, 404))
    answer = await ask(http, await stage.openai_model(endpoint.url), {**QUESTION, "stream": True})
    assert (answer.status, "no such model" in answer.text) == (404, True)


def streamed(objects: list[Json]) -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        for one in objects:
            yield b"data: " + json.dumps(one).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    return StreamingResponse(body(), media_type="text/event-stream")


async def test_a_stream_of_the_other_api_is_translated(stage: Any, http: HttpClient) -> None:
    def chunk(delta: Json, finish: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "chatcmpl-1", "created": 1, "model": "real", "choices": [choice]}

    chat = await stage.endpoint(lambda _: streamed([chunk({"content": "4"}), chunk({}, "stop")]))
    url = await stage.openai_model(chat.url, api="chat_completions")
    answer = await ask(http, url, {**QUESTION, "stream": True})
    assert b"event: response.output_text.delta" in answer.body
    assert b"event: response.completed" in answer.body
    assert chat.asked[0]["stream_options"] == {"include_usage": True}

    events = [
        {"type": "response.created", "response": json.loads(responses_answer({}).body)},
        {"type": "response.output_text.delta", "delta": "4"},
        {"type": "response.completed", "response": json.loads(responses_answer({}).body)},
    ]
    responses = await stage.endpoint(lambda _: streamed(events))
    question = {"messages": [{"role": "user", "content": "2 + 2?"}], "stream": True}
    answer = await ask(http, await stage.openai_model(responses.url), question, path="chat/completions")
    assert b'"delta":{"content":"4"}' in answer.body
    assert b'"finish_reason":"stop"' in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_a_stream_moves_to_another_replica_when_nobody_answers(stage: Any, http: HttpClient) -> None:
    replicas = [await stage.endpoint(lambda _: streamed([{"type": "response.created"}])) for _ in range(2)]
    url = await stage.openai_model([replica.url for replica in replicas])
    await stage.kill(replicas[0].url)
    answers = [await ask(http, url, {**QUESTION, "stream": True}, rollout=f"r{rollout}") for rollout in range(8)]
    assert all(answer.ok for answer in answers)
    assert len(replicas[1].asked) == 8


# ------------------------------------------------------------------------------------------------------ configuration


@pytest.mark.parametrize("urls", [[], "localhost:8000", ["http://a/v1", "ftp://b"]])
async def test_a_base_url_that_is_none_is_refused(stage: Any, urls: Any) -> None:
    with pytest.raises(ConfigError, match="openai_base_url"):
        await stage.openai_model(urls)
