from collections.abc import AsyncIterator
from typing import Any

import pytest

from nemo_gym.testclient import InProcessGym
from resources_servers.code_lookup.app import CodeLookupResourcesServer
from resources_servers.code_lookup.verifier import extract_code, reward


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Code: 407", "407"),
        ("Code:407", "407"),
        ("It was Code: 111, it is\nCode: 007.", "007"),
        ("Code: 407. Code: unknown", "407"),
        ("407", None),
        ("code: 407", None),
        ("Code:", None),
        ("Code: " + "9" * 13, None),
        ("Code: ٤٠٧", None),
        ("Code: " * 100_000, None),
    ],
)
def test_the_code_is_what_follows_the_last_marker_with_digits(text: str, code: str | None) -> None:
    assert extract_code(text) == code


def test_a_code_counts_digit_by_digit() -> None:
    assert [reward(code, "007") for code in ("007", "7", "0070", None)] == [1.0, 0.0, 0.0, 0.0]


@pytest.fixture
async def gym() -> AsyncIterator[InProcessGym]:
    async with InProcessGym() as gym:
        gym.add("doors", CodeLookupResourcesServer)
        yield gym


async def seeded(gym: InProcessGym, codes: dict[str, str]) -> dict[str, str]:
    """Cookies of a session that knows these codes."""
    answer = await gym.client.post("doors", "/seed_session", {"codes": codes})
    assert answer.ok, answer.text
    return dict(answer.cookies)


async def test_each_session_has_codes_of_its_own(gym: InProcessGym) -> None:
    first, second = await seeded(gym, {"red": "407"}), await seeded(gym, {"red": "113", "blue": "5"})
    told = [
        (await gym.client.post("doors", "/get_code", {"door": door}, cookies=cookies)).parse()
        for cookies, door in ((first, "red"), (second, "red"), (second, "blue"), (first, "blue"))
    ]
    assert told == [{"code": "407"}, {"code": "113"}, {"code": "5"}, {"error": "no such door"}]


async def test_a_session_that_was_never_seeded_is_refused(gym: InProcessGym) -> None:
    refused = await gym.client.post("doors", "/get_code", {"door": "red"})
    assert refused.status == 409 and "/seed_session" in refused.text


@pytest.mark.parametrize("codes", [{}, {"red": 407}, {"red": ""}, {"red": "4a"}, {"red": "1" * 13}, None])
async def test_a_row_without_proper_codes_is_refused(gym: InProcessGym, codes: Any) -> None:
    refused = await gym.client.post("doors", "/seed_session", {"codes": codes})
    assert refused.status == 422 and "codes" in refused.text


async def test_the_last_message_is_scored(gym: InProcessGym) -> None:
    async def verified(*texts: str) -> Any:
        output = [
            {
                "type": "message",
                "id": f"msg_{number}",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": text, "annotations": []}],
            }
            for number, text in enumerate(texts)
        ]
        response = {"id": "resp_0", "object": "response", "created_at": 0, "model": "none", "output": output}
        body = {"responses_create_params": {"input": "Open."}, "response": response, "expected_code": "407"}
        return (await gym.client.post("doors", "/verify", body)).parse()

    right = await verified("Code: 407")
    assert (right["reward"], right["extracted_code"]) == (1.0, "407")
    wrong = await verified("Code: 408")
    assert (wrong["reward"], wrong["extracted_code"]) == (0.0, "408")
    assert (await verified())["extracted_code"] is None
