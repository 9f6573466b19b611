"""Prompt configs: read with all their mistakes, filled from task rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemo_gym.errors import ConfigError, DataError
from nemo_gym.prompt import PromptConfig, fill_prompt, load_prompt_config


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def write_prompt(text: str, name: str = "prompt.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write_prompt


def test_a_prompt_is_filled_from_the_fields_of_a_row(write) -> None:
    write("system: Be brief.\nuser: |-\n  Use \\boxed{{}}.\n  {question} ({points} points)\n")
    messages = fill_prompt(load_prompt_config("prompt.yaml"), {"question": "2 + 2?", "points": 3, "other": None})
    assert messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Use \\boxed{}.\n2 + 2? (3 points)"},
    ]


def test_a_prompt_without_system_text_is_one_message() -> None:
    assert fill_prompt(PromptConfig(user="hi {name}"), {"name": "Ann"}) == [{"role": "user", "content": "hi Ann"}]


def test_a_field_that_the_row_lacks_is_named_with_the_nearest() -> None:
    with pytest.raises(DataError, match="`qestion`, which the row lacks; did you mean `question`"):
        fill_prompt(PromptConfig(user="{qestion}"), {"question": "2 + 2?"})


def test_a_server_finds_a_prompt_by_its_path_in_the_project(write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("user: hi\n", "resources_servers/quiz/prompts/ask.yaml")
    monkeypatch.chdir(path.parents[1])
    assert load_prompt_config("resources_servers/quiz/prompts/ask.yaml").user == "hi"
    assert load_prompt_config(path).user == "hi"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("system: hi\n", "`user`: Field required"),
        ("user: hi\nassistant: ho\n", "`assistant`: Extra inputs are not permitted"),
        ("user: 'Answer {} here'\n", "`user`: `{}` names no field; for braces in the text write `{{` and `}}`"),
        ("user: 'Answer {\"a\": 1}'\n", '`user`: `{"a"}` names no field'),
        ("user: 'Answer { here'\n", "`user`: expected '}' before end of string"),
        ("user: a: b\n", "a second `: ` on one line"),
    ],
)
def test_a_mistake_in_a_prompt_names_file_and_key(write, text: str, mistake: str) -> None:
    write(text)
    with pytest.raises(ConfigError) as caught:
        load_prompt_config("prompt.yaml")
    assert str(caught.value).startswith("prompt.yaml: ") and mistake in str(caught.value)


def test_a_prompt_that_is_not_there_is_named(write) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: there is no such file"):
        load_prompt_config("absent.yaml")
