"""Every parser of what models, endpoints and files may hold takes any text: an answer, or the error it declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_gym.config.overrides import parse_overrides
from nemo_gym.config.secrets import MASK, is_secret_key, mask_secrets, secrets_in
from nemo_gym.config.shown import shown
from nemo_gym.config.yaml_file import read_yaml
from nemo_gym.converters.think_tags import split_think_tags
from nemo_gym.errors import ConfigError, DataError
from nemo_gym.ledger.chat_markup import read_chat_markup
from nemo_gym.parsers import actions, boxed, code_block, json_text, numbers, tags, tool_calls
from nemo_gym.prompt import fields_of
from nemo_gym.rollouts.rows import Line, parse_row
from nemo_gym.scoring import hash_answer, judge_text, multiple_choice, text_match
from nemo_gym.serving.http import retry_after_s
from nemo_gym.serving.http_response import parse_set_cookies
from nemo_gym.serving.sessions import SessionStore, id_in, worker_of
from tests.fuzz.bodies import TEXTS, VALUES

FRAGMENTS = (
    *("<think>", "</think>", "<answer>", "</answer>", "<tool_call>", "</tool_call>", "<|im_start|>", "<|im_end|>"),
    *("```", "```python\n", "```json\n", "\\boxed{", "}", "{", "[", "]", '"', "\\", "\n", ":", ",", "=", "${", "???"),
    *(
        "#### ",
        "-",
        "+",
        "1e",
        "1,000",
        "3/4",
        "0/0",
        "½",
        "٣",
        "%",
        "$",
        "12",
        "\x00",
        "A)",
        "(B)",
        "Answer: C",
        "&a ",
        "*a",
    ),
    *(
        '{"name": "add", "arguments": {"a": 1}}',
        "key: value\n",
        "- item\n",
        "!!python/object:os.system",
        "true",
        "null",
    ),
)
WRITTEN = st.lists(st.one_of(st.sampled_from(FRAGMENTS), TEXTS), max_size=12).map("".join)

PARSERS: dict[str, Callable[[str], object]] = {
    "actions": lambda text: actions.read_actions(text, ["up", "down"]),
    "all_boxed": boxed.all_boxed,
    "code_blocks": code_block.code_blocks,
    "only_code_block": lambda text: code_block.only_code_block(text, "python"),
    "json_values": lambda text: list(json_text.json_values(text)),
    "first_json_object": json_text.first_json_object,
    "last_json_list": json_text.last_json_list,
    "find_numbers": lambda text: list(numbers.find_numbers(text)),
    "parse_number": lambda text: numbers.parse_number(text, percent_as_fraction=True),
    "hash_answers": numbers.hash_answers,
    "literal_hash_answer": numbers.literal_hash_answer,
    "tagged_blocks": lambda text: tags.tagged_blocks(text, "think", "answer"),
    "all_tags": lambda text: tags.all_tags(text, "answer"),
    "sequence_problem": lambda text: tags.sequence_problem(text, "think", "answer"),
    "hermes_tool_calls": tool_calls.hermes_tool_calls,
    "fenced_tool_calls": tool_calls.fenced_tool_calls,
    "grade_hash_answer": lambda text: hash_answer.grade_hash_answer(text, "42"),
    "chosen_letter": multiple_choice.chosen_letter,
    "exact_match": lambda text: text_match.exact_match(text, [text, ""]),
    "token_f1": lambda text: text_match.token_f1(text, "an answer"),
    "split_think_tags": split_think_tags,
    "read_chat_markup": lambda text: (read_chat_markup(text, True), read_chat_markup(text, False)),
    "retry_after_s": lambda text: retry_after_s({"retry-after": text}),
    "parse_set_cookies": lambda text: parse_set_cookies([text]),
    "session ids": lambda text: (SessionStore().verified_id(text), id_in(text), worker_of(text, 3)),
    "is_secret_key": is_secret_key,
}
DECLARED: dict[str, tuple[Callable[[str], object], type[Exception]]] = {
    "parse_json": (json_text.parse_json, ValueError),
    "fields_of": (fields_of, ValueError),
    "labelled_verdict": (judge_text.labelled_verdict({"yes": 1.0, "no": 0.0}), ValueError),
    "numeric_grade": (judge_text.numeric_grade(0, 10), ValueError),
    "parse_row": (lambda text: parse_row(Path("rows.jsonl"), Line(1, text.encode())), DataError),
    "parse_overrides": (lambda text: parse_overrides([text, f"+key={text}"]), ConfigError),
}


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_takes_any_text(name: str, cases: settings) -> None:
    @cases
    @given(WRITTEN)
    def parse(text: str) -> None:
        PARSERS[name](text)

    parse()


@pytest.mark.parametrize("name", DECLARED)
def test_a_parser_raises_no_other_error_than_it_says(name: str, cases: settings) -> None:
    parser, declared = DECLARED[name]

    @cases
    @given(WRITTEN)
    def parse(text: str) -> None:
        with suppress(declared):
            parser(text)

    parse()


def test_any_file_is_yaml_or_has_its_problems_told(cases: settings, tmp_path: Path) -> None:
    path = tmp_path / "any.yaml"

    @cases
    @given(st.one_of(WRITTEN.map(str.encode), st.binary(max_size=80)))
    def read(content: bytes) -> None:
        path.write_bytes(content)
        values, problems = read_yaml(path, "any.yaml")
        assert isinstance(values, dict)
        assert all("\n" not in str(problem) for problem in problems)

    read()


def test_no_secret_is_left_in_a_masked_configuration(cases: settings) -> None:
    @cases
    @given(
        st.dictionaries(TEXTS, VALUES, max_size=4),
        st.text("abcdefgh0123456789-_", min_size=8, max_size=40).map("sk-".__add__),
        TEXTS,
    )
    def mask(values: Mapping[str, Any], secret: str, before: str) -> None:
        planted = {**values, "other": {"url": f"{before}{secret}"}, "api_key": secret, "list": [secret, {"x": secret}]}
        assert secret in secrets_in(planted)
        masked = mask_secrets(planted)
        assert masked["api_key"] == MASK and secret not in str(masked)

    mask()


def test_what_is_shown_of_a_value_is_one_short_printable_line(cases: settings) -> None:
    @cases
    @given(st.one_of(WRITTEN, VALUES))
    def show(value: object) -> None:
        text = shown(value)
        assert len(text) <= 81 and text.isprintable()
        orjson.dumps(text)

    show()
