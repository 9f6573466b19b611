"""`call_judge` against a real model server in this process: verdicts, bounded asking again, typed failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from nemo_gym.errors import JudgeError
from nemo_gym.judge import call_judge, reraise_judge_errors
from nemo_gym.schemas.responses import Response, ResponseCreateParams
from nemo_gym.scoring.judge_text import numeric_grade
from nemo_gym.serving.server_client import ServerClient
from nemo_gym.serving.spec import ServerAddress

PARAMS = ResponseCreateParams(input="Is 2 + 2 = 4? Answer yes or no.", temperature=0.0)


def answer(text: str) -> tuple[int, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    output = [{"type": "message", "role": "assistant", "content": content}] if text else []
    return 200, {"id": "resp_1", "created_at": 0, "model": "judge", "output": output}


class Judge:
    """A model server that gives prepared answers, the last one for ever, and remembers what it was asked."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.answers, self.asked = list(answers), []

    async def __call__(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.asked.append(body)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@asynccontextmanager
async def served(respond: Callable[[dict[str, Any]], Awaitable[tuple[int, Any]]]) -> AsyncIterator[ServerClient]:
    """A client of one model server, `judge`, that answers each POST by `respond`."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        status, body = await respond(orjson.loads(await reader.readexactly(length)))
        data = orjson.dumps(body)
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(data)}\r\nconnection: close\r\n\r\n".encode() + data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    address = ServerAddress(
        name="judge", server_type="responses_api_models", implementation="m", urls=(f"http://127.0.0.1:{port}",)
    )
    client = ServerClient({"judge": address})
    try:
        yield client
    finally:
        await client.http.close()
        server.close()


def yes_or_no(text: str) -> bool:
    return {"yes": True, "no": False}[text.strip().lower()]


async def test_the_parsed_verdict_is_returned() -> None:
    async with served(Judge(answer("Yes"))) as client:
        assert await call_judge(client, "judge", PARAMS, parse=yes_or_no) is True


async def test_without_parse_the_answer_itself_is_returned() -> None:
    async with served(Judge(answer("Yes"))) as client:
        response = await call_judge(client, "judge", PARAMS)
        assert isinstance(response, Response)
        assert response.output_text == "Yes"


async def test_an_unreadable_verdict_is_asked_for_again_with_what_was_wrong() -> None:
    judge = Judge(answer("perhaps"), answer("no"))
    async with served(judge) as client:
        assert await call_judge(client, "judge", PARAMS, parse=yes_or_no) is False
    again = judge.asked[1]["input"]
    assert [item["role"] for item in again] == ["user", "assistant", "user"]
    assert "perhaps" in again[2]["content"]


async def test_a_grade_that_is_missing_is_asked_for_in_the_form_that_can_be_read() -> None:
    judge = Judge(answer("Rather good."), answer("<score>4</score>"))
    async with served(judge) as client:
        assert await call_judge(client, "judge", PARAMS, parse=numeric_grade(1, 5)) == 0.75
    assert "write <score>GRADE</score>" in judge.asked[1]["input"][2]["content"]


async def test_asking_again_is_bounded_and_ends_in_a_judge_error() -> None:
    judge = Judge(answer("perhaps"))
    async with served(judge) as client:
        with pytest.raises(JudgeError, match="perhaps") as caught:
            await call_judge(client, "judge", PARAMS, parse=yes_or_no, max_attempts=2)
    assert (caught.value.attempts, len(judge.asked)) == (2, 2)


async def test_an_answer_without_text_is_no_verdict() -> None:
    judge = Judge(answer(""), answer("yes"))
    async with served(judge) as client:
        assert await call_judge(client, "judge", PARAMS, parse=yes_or_no) is True


async def test_http_500_is_asked_again_and_http_400_is_not() -> None:
    async with served(Judge((500, {}), answer("yes"))) as client:
        assert await call_judge(client, "judge", PARAMS, parse=yes_or_no) is True
    refused = Judge((400, {"error": {"message": "no such model"}}))
    async with served(refused) as client:
        with pytest.raises(JudgeError, match="no such model"):
            await call_judge(client, "judge", PARAMS, parse=yes_or_no)
    assert len(refused.asked) == 1


async def test_a_body_that_is_no_response_is_a_judge_error() -> None:
    async with served(Judge((200, {"id": "r", "created_at": 0, "model": "m", "choices": []}))) as client:
        with pytest.raises(JudgeError, match="output"):
            await call_judge(client, "judge", PARAMS, parse=yes_or_no)


async def test_a_judge_that_never_answers_ends_at_the_deadline() -> None:
    async def hang(body: dict[str, Any]) -> tuple[int, Any]:
        await asyncio.sleep(30)
        return answer("yes")

    async with served(hang) as client:
        with pytest.raises(JudgeError, match="no answer"):
            await call_judge(client, "judge", PARAMS, parse=yes_or_no, timeout_s=0.2)


async def test_a_judge_that_nobody_serves_is_a_judge_error() -> None:
    async with served(Judge(answer("yes"))) as client:
        pass
    with pytest.raises(JudgeError, match="cannot connect"):
        await call_judge(client, "judge", PARAMS, parse=yes_or_no, timeout_s=1.0)
    await client.http.close()


async def test_request_errors_of_other_calls_become_judge_errors_inside_reraise() -> None:
    async with served(Judge((429, {}))) as client:
        with pytest.raises(JudgeError, match="429"), reraise_judge_errors("judge"):
            (await client.post("judge", "/v1/responses", json={})).raise_for_status()
