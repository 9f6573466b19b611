"""The generic server: the class that it is told to serve, and what it says when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemo_gym.errors import ConfigError
from nemo_gym.testclient import InProcessGym

FOLDER = Path(__file__).resolve().parent.parent
ROW = {"responses_create_params": {"input": "go"}, "ground_truth": 7}


def said(text: str) -> dict[str, object]:
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return {**ROW, "response": {"id": "r", "created_at": 0, "model": "m", "output": [item]}}


async def test_the_class_that_the_configuration_names_is_served() -> None:
    async with InProcessGym() as gym:
        gym.add("env", FOLDER, environment="environment.py:HigherLower", max_turns=3)
        session = {"x-session-id": "a"}
        await gym.client.post("env", "/reset", ROW, headers=session)
        answers = [(await gym.client.post("env", "/step", said(text), headers=session)).parse() for text in ("9", "2")]
        assert [answer["observation"] for answer in answers] == ["Lower.", "Higher."]
        last = (await gym.client.post("env", "/step", said("It is 7."), headers=session)).parse()
        assert (last["reward"], last["terminated"]) == (1.0, True)
        mode = (await gym.client.get("env", "/reverify_mode")).parse()
        assert mode == "stateless"


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("environment.py:HigherLowr", "did you mean `HigherLower`"),
        ("no_such_file.py:X", "no such file"),
        ("no_such_package.x:Y", "cannot import"),
        ("higher_lower", "package.module:name"),
    ],
)
def test_a_class_that_cannot_be_had_is_a_mistake_of_the_configuration(place: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=r"step_environment\.environment`") as raised:
        InProcessGym().add("env", FOLDER, environment=place)
    assert complaint in str(raised.value)
