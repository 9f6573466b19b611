import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_gym.parsers import json_text
from nemo_gym.parsers.json_text import (
    LIST_OF_OBJECTS,
    MAX_FAILED_STARTS,
    first_json_list,
    first_json_object,
    json_values,
    last_json_list,
    last_json_object,
    parse_json,
)

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@given(st.lists(st.dictionaries(st.text(max_size=8), documents, max_size=4) | st.lists(documents), max_size=4))
def test_every_value_is_found_with_words_between(values: list[Any]) -> None:
    text = "Here: " + " and then ".join(json.dumps(value) for value in values) + " that is all"
    assert list(json_values(text)) == values


def test_first_and_last_are_the_outermost_of_their_kind() -> None:
    text = 'Take {"a": {"b": [1, 2]}}, not [{"c": 3}, [4]].'
    assert first_json_object(text) == {"a": {"b": [1, 2]}}
    assert last_json_object(text) == {"c": 3}
    assert first_json_list(text) == [1, 2]
    assert last_json_list(text) == [{"c": 3}, [4]]


@pytest.mark.parametrize("text", ["", "no JSON", "{a: 1}", "{'a': 1}", '{"a": 1', '{"a": NaN}', '{"a": 1,}', "{", "]"])
def test_none_is_the_answer_where_there_is_no_json(text: str) -> None:
    assert first_json_object(text) is None
    assert last_json_object(text) is None
    assert first_json_list(text) is None
    assert last_json_list(text) is None


def test_broken_json_and_braces_of_other_kinds_do_not_hide_what_follows() -> None:
    for before in (
        r"\frac{1}{2} ",
        '{"a": ',
        "{x | x > 0} ",
        "[see below] ",
        "[" * 5_000,
        '[{"event_id": ' + "9" * 5_000,
    ):
        assert first_json_object(before + '{"b": 1}') == {"b": 1}


def test_a_start_pattern_of_ones_own_chooses_the_values() -> None:
    assert list(json_values('[1] [ {"a": 1} ] {"b": [{}]}', LIST_OF_OBJECTS)) == [[{"a": 1}], [{}]]


class CountingDecoder(json.JSONDecoder):
    """Counts how many characters could have been read: each attempt reads to the end of the text at most."""

    attempts = 0

    def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
        self.attempts += 1
        return super().raw_decode(s, idx)


@pytest.mark.parametrize("piece", ['{"', '{"a":', "[", "[[", '["', "[{", '[{"a":', "[1,", "[n", '{"a":1', "[" * 2_000])
def test_only_so_many_places_that_are_no_json_are_tried(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = CountingDecoder()
    monkeypatch.setattr(json_text, "_DECODER", decoder)
    assert list(json_values(piece * 1_000)) == []
    assert decoder.attempts == MAX_FAILED_STARTS


def test_a_whole_text_is_parsed_or_refused_with_value_error_also_when_nested_too_deep() -> None:
    assert parse_json(' {"a": 1} ') == {"a": 1}
    for text in ("", "x", "[NaN]", "{} {}", "[" * 100_000, "9" * 5_000):
        with pytest.raises(ValueError):
            parse_json(text)
