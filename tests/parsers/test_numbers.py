from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_gym.parsers.numbers import (
    MAX_DIGITS,
    find_numbers,
    first_hash_answer,
    hash_answers,
    last_hash_answer,
    last_number,
    literal_hash_answer,
    parse_number,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1234", 1234),
        (" 1,234.00 ", 1234),
        ("$1,234.00", 1234),
        ("-$5", -5),
        ("$-5", -5),
        ("−5", -5),
        ("+5", 5),
        ("18.", 18),
        (".5", Fraction(1, 2)),
        ("3/4", Fraction(3, 4)),
        ("-3 / 4", Fraction(-3, 4)),
        ("1.5e3", 1500),
        ("2E-2", Fraction(1, 50)),
        ("50%", 50),
        ("12,345,678", 12_345_678),
        ("007", 7),
    ],
)
def test_one_number_is_read_exactly(text: str, value: int | Fraction) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text",
    ["", " ", "-", "$", ".", "eighteen", "18 apples", "1 2", "12,34", "1,2345", "1.2.3", "5-3", "1/0", "1//2", "NaN"],
)
def test_what_is_not_one_number_is_none(text: str) -> None:
    assert parse_number(text) is None


def test_percent_is_a_unit_unless_asked_for_as_a_fraction() -> None:
    assert parse_number("12.5 %") == Fraction(25, 2)
    assert parse_number("12.5 %", percent_as_fraction=True) == Fraction(1, 8)


@pytest.mark.parametrize("text", ["9" * (MAX_DIGITS + 1), "1e101", "1e-101", "1e99999999", "1/" + "9" * 200])
def test_numbers_of_absurd_size_are_none(text: str) -> None:
    assert parse_number(text) is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12))
def test_every_decimal_is_read_as_it_is_written_with_and_without_commas(value: Decimal) -> None:
    assert parse_number(f"{value:f}") == Fraction(value)
    assert parse_number(f"{value:,f}") == Fraction(value)


def test_numbers_are_found_in_a_sentence_without_its_points_and_hyphens() -> None:
    text = "From 5-3 we get 2. A 20% tip on $1,050.50 is x=-210.1, at 10:30 (see step-4)."
    assert [number.text.strip() for number in find_numbers(text)] == [
        *("5", "3", "2", "20%", "$1,050.50", "-210.1", "10", "30", "4")
    ]


def test_a_found_number_says_where_it_stands() -> None:
    text = "about $1,234.5 each"
    [number] = find_numbers(text)
    assert (text[number.start : number.end], number.percent) == ("$1,234.5", False)


def test_the_last_number_is_none_where_there_is_none() -> None:
    assert last_number("two and two is 4, so 5.") == 5
    assert last_number("no figure here") is None


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("so\n#### 18", [18]),
        ("####18", [18]),
        ("#### $1,234.00 a year", [1234]),
        ("#### **18** apples", [18]),
        ("the answer is #### 18.", [18]),
        ("##### -7", [-7]),
        ("#### 60%", [60]),
        ("#### Step 1\n3 + 4\n#### 7", [7]),
        ("#### 7\n#### 8", [7, 8]),
        ("#### 7 or 8", []),
        ("#### 5 * 3 = 15", []),
        ("#### seven", []),
        ("####", []),
        ("18", []),
        ("", []),
    ],
)
def test_hash_answers_are_the_single_numbers_after_the_mark(text: str, answers: list[int]) -> None:
    assert hash_answers(text) == answers
    assert first_hash_answer(text) == (answers[0] if answers else None)
    assert last_hash_answer(text) == (answers[-1] if answers else None)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("#### 18\n#### 19", "18"),
        ("x #### -1,234.50.", "-1234.50."),
        ("#### ,", ""),
        ("#### $18", None),
        ("####18", None),
        ("#### seven #### 7", "7"),
        ("", None),
    ],
)
def test_the_literal_hash_answer_is_the_text_after_the_first_mark(text: str, answer: str | None) -> None:
    assert literal_hash_answer(text) == answer
